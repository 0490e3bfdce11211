-- One verdict for settle.sql.
SELECT :seq AS seq, :receipt AS receipt, :n AS n, :verdict AS verdict, :delay AS delay, :reason AS reason, :error AS error

DELETE {message} FROM {message} FORCE INDEX (PRIMARY) WHERE seq IN (:seqs)

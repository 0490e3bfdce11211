DELETE {message} FROM {message} FORCE INDEX (PRIMARY) WHERE :fence

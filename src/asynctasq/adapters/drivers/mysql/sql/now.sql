{now}

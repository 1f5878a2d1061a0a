cluster "main" {
  replication {
    password = "hunter2-hunter2
  }
}

cluster "main" { version = 17 port = 5432 }

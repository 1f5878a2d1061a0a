"cluster" "main" {
  version = 17
}
cluster "main" {
  "version" = 17
}

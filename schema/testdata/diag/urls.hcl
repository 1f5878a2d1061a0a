target "a" { url = "file://srv/a" }
target "b" { url = "ssh://backup@nas" }
target "c" { url = "shh://nas/backup" }
target "d" { url = "ssh://backup:hunter2-hunter2@nas/backup" }
target "e" { url = "file:///srv/../etc" }
target "f" { url = "/srv/backup" }
target "g" { url = "s3:///prefix" }
target "h" { url = "nfs://filer/export" }
target "i" { url = "ssh://nas:99999/backup" }
target "j" { url = "ssh://nas:abc/backup" }
target "k" { url = "file:///" }
target "l" { url = "ftp://host/path" }
target "m" { url = "s3://bucket/prefix?region=eu" }
target "n" {}
target "o" { url = "nas" }

cluster "main" {
  version = 17
  parameters = {
    shared_preload_libraries = ["a", "b"]
    work_mem                 = "4MB\n"
    "work mem"               = "4MB"
    Shared_Buffers           = "1GB"
    shared_buffers           = "2GB"
    jit                      = on
    log_min_messages         = { a = 1 }
  }
  node "a" {
    host       = "10.0.0.1"
    role       = "primary"
    parameters = "work_mem = 4MB"
  }
}

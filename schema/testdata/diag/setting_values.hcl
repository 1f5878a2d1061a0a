cluster "main" {
  version = 17
  parameters = {
    shared_bufers            = "2GB"
    work_mem                 = "4 MBB"
    maintenance_work_mem     = "64mb"
    checkpoint_timeout       = "5 minutes"
    statement_timeout        = "1.5x"
    max_connections          = "many"
    jit                      = "maybe"
    random_page_cost         = "cheap"
    synchronous_commit       = "remotely"
    log_min_messages         = "warn"
    effective_cache_size     = "1TB"
    wal_keep_size            = "1GB"
    pg_stat_statements.track = "all"
    log_connections          = true
  }
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}

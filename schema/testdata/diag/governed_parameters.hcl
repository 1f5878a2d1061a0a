cluster "main" {
  version = 17
  parameters = {
    port                     = 5433
    data_directory           = "/srv"
    hba_file                 = "/etc/hba"
    ident_file               = "/etc/ident"
    primary_conninfo         = "host=x"
    primary_slot_name        = "x"
    restore_command          = "cp"
    archive_mode             = true
    Archive_Command          = "cp"
    archive_library          = "x"
    archive_cleanup_command  = "x"
    recovery_min_apply_delay = "1h"
    cluster_name             = "x"
    promote_trigger_file     = "/tmp/x"
    recovery_target_time     = "x"
    archive_timeout          = 60
  }
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}

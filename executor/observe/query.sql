WITH g AS MATERIALIZED (SELECT *, lower(name) AS lname FROM pg_settings),
 pf AS MATERIALIZED (SELECT *, lower(name) AS lname FROM pg_file_settings)
SELECT jsonb_build_object(
 'version', current_setting('server_version_num')::int,
 'in_recovery', r.yes,
 'postmaster_pid', split_part(pg_read_file('postmaster.pid'), E'\n', 1),
 'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
 'timeline', CASE
   WHEN NOT r.yes THEN to_jsonb(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
   ELSE (SELECT to_jsonb(lpad(to_hex(greatest(timeline_id, min_recovery_end_timeline,
           (SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'))), 8, '0'))
         FROM pg_control_checkpoint(), pg_control_recovery()) END,
 'current_lsn', CASE WHEN NOT r.yes THEN pg_current_wal_lsn()::text END,
 'receive_lsn', pg_last_wal_receive_lsn()::text,
 'replay_lsn', pg_last_wal_replay_lsn()::text,
 'replay_age_us', CASE WHEN r.yes THEN (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000)::bigint END,
 'replay_paused', CASE WHEN r.yes THEN pg_is_wal_replay_paused() END,
 'started_us', (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
 'receiver', (SELECT jsonb_build_object('status', status, 'host', sender_host, 'port', sender_port, 'slot', slot_name,
     'received', coalesce(flushed_lsn, latest_end_lsn)::text) FROM pg_stat_wal_receiver LIMIT 1),
 'senders', (SELECT jsonb_agg(jsonb_build_object('name', application_name, 'addr', host(client_addr), 'state', state,
     'sync', sync_state, 'sent', sent_lsn::text, 'flush', flush_lsn::text, 'replay', replay_lsn::text,
     'lag_us', (extract(epoch FROM replay_lag) * 1000000)::bigint) ORDER BY application_name, pid) FROM pg_stat_replication),
 'slots', (SELECT jsonb_agg(jsonb_build_object('name', slot_name, 'type', slot_type, 'active', active,
     'restart', restart_lsn::text, 'wal', wal_status) ORDER BY slot_name) FROM pg_replication_slots),
 'settings', (SELECT jsonb_agg(jsonb_build_object('name', s.name,
     'value', CASE WHEN s.source IN ('client', 'session', 'user', 'database', 'database user') THEN coalesce(f.setting, s.boot_val) ELSE s.setting END,
     'unit', s.unit, 'type', s.vartype, 'context', s.context, 'enum', s.enumvals, 'file', s.sourcefile))
   FROM g s LEFT JOIN (SELECT DISTINCT ON (lname) lname, setting FROM pf
     WHERE error IS NULL ORDER BY lname, seqno DESC) f ON f.lname = s.lname
   WHERE s.source NOT IN ('default', 'override', 'client', 'session', 'user', 'database', 'database user', 'command line', 'environment variable')
      OR s.lname = ANY (ARRAY[:names]::text[])),
 'pending', (SELECT jsonb_agg(lname ORDER BY name) FROM g WHERE pending_restart),
 'role', (SELECT jsonb_build_object('login', rolcanlogin, 'replication', rolreplication,
     'verifier', CASE WHEN rolvaliduntil IS NULL OR rolvaliduntil > now() THEN rolpassword END) FROM pg_authid WHERE rolname = :role),
 'archiver', (SELECT jsonb_build_object('archived', archived_count, 'wal', last_archived_wal,
     'time_us', (extract(epoch FROM last_archived_time) * 1000000)::bigint, 'failed', failed_count, 'failed_wal', last_failed_wal,
     'failed_us', (extract(epoch FROM last_failed_time) * 1000000)::bigint) FROM pg_stat_archiver),
 'hba_errors', (SELECT string_agg('line ' || line_number || ': ' || error, '; ' ORDER BY line_number) FROM pg_hba_file_rules WHERE error IS NOT NULL),
 'hba_unread', (SELECT modification > pg_conf_load_time() FROM pg_stat_file(current_setting('hba_file'), true)),
 'file_errors', (SELECT string_agg(coalesce(sourcefile, '') || ' line ' || coalesce(sourceline, 0) || ': ' || coalesce(name || ': ', '') || error, '; ' ORDER BY seqno)
   FROM pf WHERE error IS NOT NULL AND sourcefile IS NOT NULL
     AND NOT EXISTS (SELECT FROM g WHERE g.lname = pf.lname AND g.context = 'postmaster')),
 'patroni', EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'Patroni%')
)::text FROM (SELECT pg_is_in_recovery() AS yes) r

package observe

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

//go:embed query.sql
var querySQL string

// governed are the parameters that pg_manage sets or judges by, declared or not.
func governed() []string {
	return []string{
		"archive_command", "archive_mode", "archive_timeout", "cluster_name", "config_file", "data_checksums",
		"data_directory", "full_page_writes", "hba_file", "hot_standby", "listen_addresses", "max_connections",
		"max_locks_per_transaction", "max_prepared_transactions", "max_replication_slots", "max_slot_wal_keep_size",
		"max_wal_senders", "max_worker_processes", "password_encryption", "port", "primary_conninfo",
		"primary_slot_name", "recovery_min_apply_delay", "recovery_target_timeline", "restore_command",
		"synchronous_commit", "synchronous_standby_names", "track_commit_timestamp", "unix_socket_directories",
		"wal_keep_size", "wal_level", "wal_log_hints", "wal_segment_size",
	}
}

// buildQuery is one statement that returns everything as one JSON document. It
// runs on PostgreSQL 13 and later, in recovery or not, and needs a superuser.
func buildQuery(c *schema.Cluster, n *schema.Node) (string, error) {
	names := governed()
	for p := range n.Parameters {
		names = append(names, strings.ToLower(p))
	}
	slices.Sort(names)
	quoted := make([]string, 0, len(names))
	for _, p := range slices.Compact(names) {
		q, err := postgres.QuoteLiteral(p)
		if err != nil {
			return "", fmt.Errorf("parameter name: %w", err)
		}
		quoted = append(quoted, q)
	}
	role := "NULL"
	if c.Replication != nil {
		q, err := postgres.QuoteLiteral(c.Replication.User)
		if err != nil {
			return "", fmt.Errorf("replication user: %w", err)
		}
		role = q
	}
	return strings.NewReplacer(":names", strings.Join(quoted, ","), ":role", role).Replace(strings.TrimSpace(querySQL)), nil
}

// guarded puts limits on the session before the query.
func guarded(sql string) string {
	return "SET statement_timeout = 10000; SET lock_timeout = 3000; SET default_transaction_read_only = on; " + sql
}

// answer is the document that the query returns.
type answer struct {
	Version          int          `json:"version"`
	InRecovery       bool         `json:"in_recovery"`
	PostmasterPID    string       `json:"postmaster_pid"`
	SystemIdentifier string       `json:"system_identifier"`
	Timeline         string       `json:"timeline"`
	CurrentLSN       postgres.LSN `json:"current_lsn"`
	ReceiveLSN       postgres.LSN `json:"receive_lsn"`
	ReplayLSN        postgres.LSN `json:"replay_lsn"`
	ReplayAge        micros       `json:"replay_age_us"`
	ReplayPaused     bool         `json:"replay_paused"`
	Started          micros       `json:"started_us"`
	Receiver         *receiverRow `json:"receiver"`
	Senders          []senderRow  `json:"senders"`
	Slots            []slotRow    `json:"slots"`
	Settings         []settingRow `json:"settings"`
	Pending          []string     `json:"pending"`
	Role             *roleRow     `json:"role"`
	Archiver         *archiverRow `json:"archiver"`
	HBAErrors        string       `json:"hba_errors"`
	HBAUnread        bool         `json:"hba_unread"` // null, when there is no such file, leaves it false
	FileErrors       string       `json:"file_errors"`
	Patroni          bool         `json:"patroni"`
}

type receiverRow struct {
	Status   string       `json:"status"`
	Host     string       `json:"host"`
	Port     int          `json:"port"`
	Slot     string       `json:"slot"`
	Received postgres.LSN `json:"received"`
}

type senderRow struct {
	Name   string       `json:"name"`
	Addr   string       `json:"addr"`
	State  string       `json:"state"`
	Sync   string       `json:"sync"`
	Sent   postgres.LSN `json:"sent"`
	Flush  postgres.LSN `json:"flush"`
	Replay postgres.LSN `json:"replay"`
	Lag    micros       `json:"lag_us"`
}

type slotRow struct {
	Name    string       `json:"name"`
	Type    string       `json:"type"`
	Active  bool         `json:"active"`
	Restart postgres.LSN `json:"restart"`
	WAL     string       `json:"wal"`
}

type settingRow struct {
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Unit    string   `json:"unit"`
	Type    string   `json:"type"`
	Context string   `json:"context"`
	Enum    []string `json:"enum"`
	File    string   `json:"file"`
}

type roleRow struct {
	Login       bool   `json:"login"`
	Replication bool   `json:"replication"`
	Verifier    string `json:"verifier"`
}

type archiverRow struct {
	Archived   int64  `json:"archived"`
	WAL        string `json:"wal"`
	Time       micros `json:"time_us"`
	Failed     int64  `json:"failed"`
	FailedWAL  string `json:"failed_wal"`
	FailedTime micros `json:"failed_us"`
}

// micros is a number of microseconds; 0 stands for NULL.
type micros int64

func (m micros) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

func (m micros) duration() time.Duration { return time.Duration(m) * time.Microsecond }

func parseAnswer(doc []byte) (*answer, error) {
	var a answer
	if err := json.Unmarshal(doc, &a); err != nil {
		return nil, fmt.Errorf("the server's answer is not what was asked for: %w", err)
	}
	if a.Version == 0 {
		return nil, fmt.Errorf("the server's answer has no version")
	}
	return &a, nil
}

// fill puts the answer into the facts.
func (a *answer) fill(f *planner.NodeFacts, c *schema.Cluster) {
	s := &f.Server
	s.Accepting, s.Error = true, ""
	s.Version, s.InRecovery, s.ReplayPaused = postgres.Version(a.Version), a.InRecovery, a.ReplayPaused
	if tli, err := strconv.ParseUint(a.Timeline, 16, 32); err == nil {
		s.Timeline = postgres.Timeline(tli)
	}
	s.CurrentLSN, s.ReceiveLSN = a.CurrentLSN, a.ReceiveLSN
	s.StartedAt = a.Started.time()
	if a.InRecovery {
		s.ReplayLSN, s.ReplayAge = a.ReplayLSN, max(0, a.ReplayAge.duration())
	}
	if r := a.Receiver; r != nil {
		s.Receiver = &planner.Receiver{Status: r.Status, SenderHost: r.Host, SenderPort: r.Port, Slot: r.Slot, Received: r.Received}
	}
	for _, r := range a.Senders {
		s.Senders = append(s.Senders, planner.Sender{
			ApplicationName: r.Name, ClientAddr: r.Addr, State: r.State, SyncState: r.Sync,
			SentLSN: r.Sent, FlushLSN: r.Flush, ReplayLSN: r.Replay, ReplayLag: r.Lag.duration(),
		})
	}
	for _, r := range a.Slots {
		s.Slots = append(s.Slots, planner.Slot{Name: r.Name, Type: r.Type, Active: r.Active, RestartLSN: r.Restart, WALStatus: r.WAL})
	}
	a.fillSettings(f)
	s.PendingRestart = a.Pending
	s.ReplicationRole = roleFacts(a.Role, c)
	if r := a.Archiver; r != nil {
		s.Archiver = &planner.Archiver{
			Archived: r.Archived, LastWAL: r.WAL, LastTime: r.Time.time(),
			Failed: r.Failed, FailedWAL: r.FailedWAL, FailedTime: r.FailedTime.time(),
		}
	}
	f.Files.HBAErrors, f.Files.Unread = oneLine(a.HBAErrors), a.HBAUnread
	f.Files.SettingsErrors = oneLine(a.FileErrors)
	if f.Data.SystemIdentifier == "" {
		f.Data.SystemIdentifier = a.SystemIdentifier
	}
	if a.Patroni {
		addDaemon(f, "patroni (it has sessions on the server)")
	}
}

func (a *answer) fillSettings(f *planner.NodeFacts) {
	s := &f.Server
	s.Settings = map[string]postgres.Setting{}
	ours := path.Join(f.Paths.ConfigDir, "pg_manage.conf")
	for _, r := range a.Settings {
		name := strings.ToLower(r.Name)
		s.Settings[name] = postgres.Setting{
			Name: r.Name, Value: withoutPassword(name, r.Value), Unit: r.Unit,
			VarType: r.Type, Context: r.Context, EnumVals: r.Enum,
		}
		if r.File != "" && r.File == ours {
			s.FromOurFile = append(s.FromOurFile, name)
		}
	}
	slices.Sort(s.FromOurFile)
}

var conninfoPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)+)|(://[^:@/\s]*:)[^@/\s]*(@)`)

// withoutPassword takes a password out of a connection string that somebody else wrote.
func withoutPassword(name, value string) string {
	if name != "primary_conninfo" {
		return value
	}
	return conninfoPassword.ReplaceAllString(value, "${1}${3}"+schema.Redacted+"${4}")
}

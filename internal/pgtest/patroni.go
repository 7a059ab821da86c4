package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Patroni's times, as docs/operations.md recommends them. The TTL is the shortest that Patroni
// allows.
const (
	PatroniTTL   = 20 * time.Second // of the primary's key in etcd: no other member can take its place for so long
	patroniLoop  = 2 * time.Second  // between two checks
	patroniRetry = 8 * time.Second  // a primary steps down after so long without etcd
)

// clusterStart bounds the first start of a cluster under Patroni, or the return of a member, on a
// busy machine.
const clusterStart = 90 * time.Second

// Cluster is a PostgreSQL of several hosts under Patroni, each with a member of etcd. Its methods
// are for one goroutine at a time.
type Cluster struct {
	Nodes       []*Node
	synchronous bool
}

// Node is one host of a cluster.
type Node struct {
	*Server
	name    string
	cluster *Cluster
	running []*program
}

// program is etcd or Patroni while it runs.
type program struct {
	pid    int
	exited chan error
}

// OwnCluster starts a cluster for one test, on hosts that are network namespaces. It uses Host and
// Netns of each. A synchronous cluster commits a transaction only after its standby has it.
func OwnCluster(t testing.TB, synchronous bool, hosts ...Options) *Cluster {
	t.Helper()
	for _, tool := range []string{"patroni", "patronictl", "etcd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test runs PostgreSQL under Patroni and found no %s; install it, for example: "+
				"apt-get install patroni etcd-server (their own services need not run)", tool)
		}
	}
	c := &Cluster{synchronous: synchronous}
	t.Cleanup(func() {
		for _, n := range c.Nodes {
			if t.Failed() {
				t.Logf("%s:\n%s\n%s", n.name, tail(n.file("patroni.log")), tail(n.file("etcd.log")))
			}
			if err := n.remove(); err != nil {
				t.Error(err)
			}
		}
	})
	for i, o := range hosts {
		o.Port = 5432
		s, err := prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, &Node{Server: s, name: fmt.Sprintf("db%d", i), cluster: c})
	}
	for _, n := range c.Nodes {
		if err := n.configure(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Nodes {
		c.Return(t, i)
	}
	c.AwaitWhole(t)
	return c
}

func (n *Node) file(name string) string { return filepath.Join(n.dir, name) }

// configure writes Patroni's configuration.
func (n *Node) configure() error {
	text := fmt.Sprintf(patroniConfig, n.name, n.Host, n.cluster.etcds("%[2]s:2379", ", "),
		PatroniTTL/time.Second, patroniLoop/time.Second, patroniRetry/time.Second, n.cluster.synchronous,
		n.data(), n.bin, n.dir)
	if err := os.WriteFile(n.file("patroni.yml"), []byte(text), 0o600); err != nil {
		return err
	}
	return n.user.own(n.file("patroni.yml"))
}

// Patroni speaks the second version of etcd's protocol. By the third, Patroni of Debian 12 (3.0.2)
// writes the primary's key without a check of its owner. A primary with a cut cable may then take
// the place of its successor.
const patroniConfig = `scope: site
name: %[1]s
restapi: {listen: "%[2]s:8008", connect_address: "%[2]s:8008"}
etcd: {hosts: [%[3]s]}
bootstrap:
  dcs:
    ttl: %[4]d
    loop_wait: %[5]d
    retry_timeout: %[6]d
    synchronous_mode: %[7]t
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {max_connections: 100}
  initdb: [no-sync, {encoding: UTF8}, {locale: C}]
postgresql:
  listen: "%[2]s:5432"
  connect_address: "%[2]s:5432"
  data_dir: %[8]s
  bin_dir: %[9]s
  pgpass: %[10]s/pgpass
  use_unix_socket: true
  use_unix_socket_repl: true
  authentication:
    superuser: {username: postgres, password: the-secret}
    replication: {username: replicator, password: the-secret}
  pg_hba:
  - local all all trust
  - local replication all trust
  - host all all 0.0.0.0/0 trust
  - host replication all 0.0.0.0/0 trust
  parameters: {unix_socket_directories: %[10]s, shared_buffers: 32MB, fsync: "off", log_min_messages: warning}
`

// etcds writes each node by a format of its name and address.
func (c *Cluster) etcds(format, between string) string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, fmt.Sprintf(format, n.name, n.Host))
	}
	return strings.Join(out, between)
}

// Return starts all programs of a host: for the first time, or after Kill.
func (c *Cluster) Return(t testing.TB, i int) {
	t.Helper()
	n := c.Nodes[i]
	client, peer := "http://"+net.JoinHostPort(n.Host, "2379"), "http://"+net.JoinHostPort(n.Host, "2380")
	for _, command := range [][]string{
		{"etcd", "--name", n.name, "--data-dir", n.file("etcd"), "--log-level", "error", "--enable-v2",
			"--heartbeat-interval", "200", "--election-timeout", "2000",
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", c.etcds("%s=http://%s:2380", ",")},
		{"patroni", n.file("patroni.yml")},
	} {
		if err := n.run(command...); err != nil {
			t.Fatalf("%s: %s: %v", n.name, command[0], err)
		}
	}
}

// run starts a program and does not wait for its end.
func (n *Node) run(command ...string) error {
	log, err := os.OpenFile(n.file(command[0]+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := n.command("", command...)
	cmd.Stdout, cmd.Stderr = log, log
	started, exited := make(chan error, 1), make(chan error, 1)
	n.group.Go(func(context.Context) error {
		runtime.LockOSThread() // as in launch
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
		return nil
	})
	if err := <-started; err != nil {
		return err
	}
	n.running = append(n.running, &program{cmd.Process.Pid, exited})
	return nil
}

// Kill is kill -9 of all programs on a host, and returns when they are gone. Pull the cable first
// for a host that must send nothing more.
func (c *Cluster) Kill(t testing.TB, i int) {
	t.Helper()
	if err := c.Nodes[i].kill(); err != nil {
		t.Fatal(err)
	}
}

func (n *Node) kill() error {
	for end := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command("ip", "netns", "pids", n.Netns).Output()
		if err != nil {
			return fmt.Errorf("%s: look for its processes: %w", n.name, err)
		}
		pids := strings.Fields(string(out))
		for _, text := range pids {
			pid, err := strconv.Atoi(text)
			if err == nil {
				err = signal(pid, sigKill)
			}
			if err != nil && !hasEnded(err) {
				return fmt.Errorf("%s: kill process %s: %w", n.name, text, err)
			}
		}
		if len(pids) == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: processes %v do not end", n.name, pids)
		}
	}
	for _, p := range n.running {
		<-p.exited
	}
	n.running = nil
	return nil
}

func (n *Node) remove() error {
	return errors.Join(n.kill(), n.group.Stop(), os.RemoveAll(n.dir))
}

// URL is the connection string of a database, with all hosts in order.
func (c *Cluster) URL(db string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + db, Host: c.etcds("%[2]s:5432", ","),
		RawQuery: "sslmode=disable&target_session_attrs=read-write"}
	return u.String()
}

// Primary is the index of the node that accepts writes. It reports false without one, or with two,
// as for a moment while one is cut off.
func (c *Cluster) Primary() (int, bool) {
	found, count := 0, 0
	for i, n := range c.Nodes {
		var standby bool
		if err := n.query("SELECT pg_is_in_recovery()", &standby); err == nil && !standby {
			found, count = i, count+1
		}
	}
	return found, count == 1
}

// query reads one row over the Unix socket, which works without a network.
func (n *Node) query(sql string, into ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, n.SocketURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, sql).Scan(into...)
}

// Writable reports whether the node accepts writes.
func (n *Node) Writable() bool {
	var standby bool
	err := n.query("SELECT pg_is_in_recovery()", &standby)
	return err == nil && !standby
}

// AwaitPrimary waits until another node than old is the primary.
func (c *Cluster) AwaitPrimary(t testing.TB, old int) (primary int, took time.Duration) {
	t.Helper()
	begun := time.Now()
	c.await(t, "another primary", func() bool {
		for i, n := range c.Nodes {
			if i != old && n.Writable() {
				primary = i
				return true
			}
		}
		return false
	})
	return primary, time.Since(begun)
}

// AwaitWhole waits until all nodes work: one primary, the others follow it, and one of them
// synchronously in a synchronous cluster.
func (c *Cluster) AwaitWhole(t testing.TB) {
	t.Helper()
	c.await(t, "a whole cluster", func() bool {
		i, ok := c.Primary()
		if !ok {
			return false
		}
		var streaming int
		var synchronous string
		err := c.Nodes[i].query(
			"SELECT count(*), coalesce(max(application_name) FILTER (WHERE sync_state = 'sync'), '') "+
				"FROM pg_stat_replication WHERE state = 'streaming'",
			&streaming,
			&synchronous,
		)
		return err == nil && streaming == len(c.Nodes)-1 &&
			(!c.synchronous || synchronous != "" && c.known(i, synchronous))
	})
}

// known reports whether etcd also lists a node as the synchronous standby. Before that, Patroni
// would not promote it.
func (c *Cluster) known(primary int, standby string) bool {
	n := c.Nodes[primary]
	out, err := n.patronictl("list", "site", "--format", "json").Output()
	var members []struct{ Member, Role string }
	if err != nil || json.Unmarshal(out, &members) != nil {
		return false
	}
	return slices.ContainsFunc(members, func(m struct{ Member, Role string }) bool {
		return m.Member == standby && m.Role == "Sync Standby"
	})
}

func (c *Cluster) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(clusterStart); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", clusterStart, what)
		}
	}
}

// patronictl is the operator's command on a node.
func (n *Node) patronictl(args ...string) *exec.Cmd {
	return n.command("", append([]string{"patronictl", "-c", n.file("patroni.yml")}, args...)...)
}

// Switchover makes the primary hand over to a standby, as an operator does by hand, and returns
// after the handover.
func (c *Cluster) Switchover(t testing.TB) (primary int) {
	t.Helper()
	old, ok := c.Primary()
	if !ok {
		t.Fatal("no primary that could hand over")
	}
	n, said := c.Nodes[old], ""
	c.await(t, "a switchover", func() bool { // etcd may not know yet which standby is complete
		out, err := n.patronictl("switchover", "site", "--leader", n.name, "--force").CombinedOutput()
		if said != string(out) {
			said = string(out)
			t.Logf("patronictl switchover: %s", said)
		}
		return err == nil && strings.Contains(said, "Successfully switched over")
	})
	primary, _ = c.AwaitPrimary(t, old)
	return primary
}

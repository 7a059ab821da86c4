package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sitekey"
)

// TestDoctorNamesAnotherKey: a host has another key than the others, or none. doctor
// reports it in one line with the command, on this host and on the others. An old key
// of a rotation does not count as another key.
func TestDoctorNamesAnotherKey(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	port, dir := lab.Port(t), t.TempDir()
	files := 0
	config := func(keys ...string) string {
		files++
		key := ""
		if len(keys) > 0 {
			path := filepath.Join(dir, fmt.Sprintf("%d.key", files))
			if err := os.WriteFile(path, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			key = fmt.Sprintf("site: {keys: %q}\n", path)
		}
		return writeConfig(t,
			fmt.Sprintf("cluster: test-site\nmode: broadcast\nlan: {interfaces: [lo], port: %d}\n%s", port, key))
	}
	right, wrong := lab.SiteKey, sitekey.New().Text()
	offerClock(t, config(right))

	doctor := func(config string, code int, unwanted string, wanted ...string) {
		t.Helper()
		got, out, errs := cli(t, "", "doctor", "-c", config, "--timeout", "1s")
		for _, text := range wanted {
			if got != code || !strings.Contains(out, text) || strings.Contains(out, unwanted) {
				t.Errorf("doctor: exit code %d, want %d; with %q, without %q:\n%s%s",
					got, code, text, unwanted, out, errs)
			}
		}
	}
	doctor(config(right, wrong), exitOK, "another site key", "1 process on 1 host answered")
	odd := config(wrong)
	doctor(odd, exitProblem, "I hear only myself",
		`PROBLEM  1 host of cluster "test-site" uses another site key than `+filepath.Join(dir, "3.key")+":1 here (",
		"): another process of this host (127.0.0.1)\n",
		"take over the key of the other side: ssh 127.0.0.1 skerry key show --cluster test-site | skerry key set "+
			"--replace -c "+odd)
	doctor(config(right), exitProblem, "LAN packets of this cluster have another key",
		`1 host of cluster "test-site" uses another site key than `)
	doctor(config(), exitProblem, "skerry key new",
		`1 host of cluster "test-site" has a site key, and this host has none: another process`)
	code, out, errs := cli(t, "", "stats", "--refused", "-c", config(right))
	if code != exitOK || !strings.Contains(out, "  from 127.0.0.1, which calls itself ") {
		t.Errorf("stats --refused: exit code %d\n%s%s", code, out, errs)
	}
}

func TestDescribeKeys(t *testing.T) {
	holder := func(i byte, host string) broadcast.KeyHolder {
		return broadcast.KeyHolder{
			Host: host, Addr: netip.AddrFrom4([4]byte{10, 0, 0, i}), Packets: 3, Last: time.Unix(1_700_000_000, 0),
		}
	}
	var many []broadcast.KeyHolder
	for i := range byte(9) {
		many = append(many, holder(i, fmt.Sprintf("h%d", i)))
	}
	own := map[netip.Addr]bool{netip.MustParseAddr("10.0.0.9"): true}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	f := &findings{area: "Trust"}
	for _, k := range []keyAndHosts{
		{same: 4},
		{same: 1, others: many[1:4]},
		{same: 4, others: many[1:2]},
		{same: 1, others: []broadcast.KeyHolder{holder(7, "")}},
		{same: 2, others: []broadcast.KeyHolder{holder(9, "self")}},
		{same: 20, others: many},
		{same: 1, place: "-", others: many[:2]},
	} {
		k.cluster, k.local, k.own = "plant", "--cluster plant", own
		k.place = map[quote.Safe]quote.Safe{"": "/etc/skerry/plant.key:1 here (12ab34cd)", "-": ""}[k.place]
		k.describe(f)
	}
	_ = a.printFindings(f.list)
	golden(t, "keys", out.Bytes())
}

package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestKeyOfTheDatabase: the key commands and doctor know the key in the database. No
// command makes a second key beside it.
func TestKeyOfTheDatabase(t *testing.T) {
	server := pgtest.Shared(t)
	config := writeConfig(t,
		"cluster: test-site\nmode: database\ndatabase: {url: \""+server.URL(server.CreateDB(t))+"\"}\n")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("CREDENTIALS_DIRECTORY", "")

	// No table exists, and no query creates one.
	for _, line := range [][]string{{"key", "ls"}, {"stats"}, {"release", "status"}, {"release", "log"}} {
		code, out, errs := cli(t, "", append(line, "-c", config)...)
		if code == exitOK || !strings.Contains(errs, "skerry has no tables in this database yet") ||
			strings.Contains(errs, "FROZEN") {
			t.Errorf("%v without tables: exit code %d\n%s%s", line, code, out, errs)
		}
		if strings.Count(errs, "registry unavailable") > 1 {
			t.Errorf("%v says one thing twice: %s", line, errs)
		}
	}
	offerClock(t, config)
	eventually(t, "a key in the database", func() bool {
		code, out, _ := cli(t, "", "key", "ls", "-c", config)
		return code == exitOK && strings.Contains(out, placeStored)
	})
	var doc struct{ Keys []keyRow }
	text := want(t, "", exitOK, placeStored, "", "key", "ls", "-c", config, "--json")
	if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Keys) != 1 {
		t.Fatalf("key ls --json: %+v, %v", doc, err)
	}
	print := doc.Keys[0].Fingerprint
	want(t, "", exitOK, "site key "+print+", from the database", "", "doctor", "-c", config)
	want(t, "", exitProblem, "", "the database holds the key "+print+" already", "key", "new", "-c", config)
	shown := want(t, "", exitOK, "sk1-", "", "key", "show", "-c", config)
	lan := writeConfig(t,
		"cluster: test-site\nmode: broadcast\nsite: {keys: "+filepath.Join(t.TempDir(), "site.key")+"}\n")
	want(t, shown, exitOK, print, "", "key", "set", "-c", lan)
	want(t, "", exitOK, print, "", "key", "ls", "-c", lan)
}

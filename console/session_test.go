package console

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// TestNothingWithoutSigningIn walks over every page without a session, with a made-up one, and with one that has ended.
func TestNothingWithoutSigningIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{})
		w := enter(c, c.Link())
		old := w.Result().Cookies()[0]
		time.Sleep(idleTime + time.Second)
		for _, cookie := range []*http.Cookie{nil, {Name: old.Name, Value: ""}, {Name: old.Name,
			Value: strings.Repeat("0", 64)}, old} {
			for _, path := range append(paths(), "/events", "/?format=json", "//", "/services/../", "/in/..",
				"/static/", "/login", "/set/x") {
				w := get(t, c, path, func(r *http.Request) {
					if cookie != nil {
						r.AddCookie(cookie)
					}
				})
				if body := w.Body.String(); w.Code == http.StatusOK || strings.Contains(body, "historian") ||
					strings.Contains(body, "launch-site") {
					t.Errorf("%s: status %d: %.200s", path, w.Code, body)
				}
			}
		}
	})
}

func TestLinkIsForOneSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := 0
		c := serve(still{night()}, Config{LinkUsed: func() { used++ }})
		link := c.Link()
		if w := enter(c, "http://127.0.0.1:7700"+link); w.Code != http.StatusSeeOther || used != 1 {
			t.Fatalf("status %d, used %d times", w.Code, used)
		}
		if w := enter(c, link); w.Code != http.StatusForbidden || used != 1 {
			t.Errorf("the second time: status %d", w.Code)
		}
		late := c.Link()
		time.Sleep(linkTime + time.Second)
		if w := enter(c, late); w.Code != http.StatusForbidden {
			t.Errorf("an old link: status %d", w.Code)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := signedIn(t, still{night()}, Config{})
		for begun := time.Now(); time.Since(begun) < sessionTime-idleTime; time.Sleep(idleTime / 2) {
			if w := get(t, h, "/"); w.Code != http.StatusOK {
				t.Fatalf("after %v: status %d", time.Since(begun), w.Code)
			}
		}
		for range 3 {
			time.Sleep(idleTime / 2)
			get(t, h, "/")
		}
		if w := get(t, h, "/"); w.Code == http.StatusOK {
			t.Error("a session lasts for more than twelve hours")
		}
	})
	h := signedIn(t, still{night()}, Config{})
	w := post(t, h, "/out", nil)
	if w.Code != http.StatusSeeOther || get(t, h, "/").Code == http.StatusOK {
		t.Error("the session goes on after signing out")
	}
}

func TestFormsOfOtherOrigins(t *testing.T) {
	c := serve(still{night()}, Config{})
	for _, origin := range []string{"", "null", "http://evil.example", "https://127.0.0.1:7700", "http://127.0.0.1"} {
		w := enter(c, c.Link(), func(r *http.Request) { r.Header.Set("Origin", origin) })
		if w.Code == http.StatusSeeOther {
			t.Errorf("a form of %q signs in", origin)
		}
	}
}

// TestManyPagesLookSeldom: however many pages are open, at most five a second look again, and a few do every two
// seconds.
func TestManyPagesLookSeldom(t *testing.T) {
	for open, want := range map[int64]time.Duration{1: 2 * time.Second, 10: 2 * time.Second, 20: 4 * time.Second,
		mostStreams: 10 * time.Second} {
		if got := eventPause(open); got != want {
			t.Errorf("of %d pages each looks again after %v, want %v", open, got, want)
		}
	}
}

// TestStreamsOfOneName: the pages of one name do not keep those of all others from renewing themselves.
func TestStreamsOfOneName(t *testing.T) {
	var o openStreams
	ends := []func(){}
	for range nameStreams {
		end, ok := o.begin("wall")
		if !ok {
			t.Fatalf("refused after %d", len(ends))
		}
		ends = append(ends, end)
	}
	if _, ok := o.begin("wall"); ok || nameStreams >= mostStreams {
		t.Error("one name may have every stream")
	}
	if _, ok := o.begin("li"); !ok {
		t.Error("another name has none")
	}
	ends[0]()
	if _, ok := o.begin("wall"); !ok {
		t.Error("a stream that has ended counts")
	}
}

// TestGuessingFromAnIPv6Network: a host that takes another address of its network for each guess waits, too.
func TestGuessingFromAnIPv6Network(t *testing.T) {
	users := usersFile(t, t.TempDir(), map[string]string{"li": "correct horse"})
	d := newDoors(nil, newDirectory(users, func(error) {}))
	for i := range 2 * freeTries {
		from := netip.MustParseAddr(fmt.Sprintf("fd00::%x", i+1))
		_, _, wait := d.password(t.Context(), "li", "wrong", "", from)
		if (wait > 0) != (i >= freeTries) {
			t.Fatalf("try %d waits %v", i, wait)
		}
	}
	if _, _, wait := d.password(t.Context(), "li", "wrong", "", netip.MustParseAddr("10.0.0.1")); wait > 0 {
		t.Error("another address waits")
	}
}

// TestRefusalsBeforeInChinese: a line of the history that stands for others, too, is in one language.
func TestRefusalsBeforeInChinese(t *testing.T) {
	why := say("history.wrong-password").In(english) + "; 12 more were refused before"
	line := record{Action: "in", Name: "li", Outcome: refusal, Why: why}.change().What.In(chinese)
	if strings.Contains(line, "refused") || strings.Contains(line, "password") || !strings.Contains(line, "12") {
		t.Error(line)
	}
}

// TestClockSetBack: neither a session nor a link of files lasts longer when the clock was set back before a restart.
func TestClockSetBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	if err := statedir.Make(dir); err != nil {
		t.Fatal(err)
	}
	before := newDoors(nil, nil)
	before.files.dir = dir
	cookie, _, _ := before.begin(grant{name: "li", role: roleAdmin, by: byLink}, netip.Addr{})
	if err := before.save(); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-24 * time.Hour)
	after := newDoors(nil, nil)
	after.files.dir, after.now = dir, func() time.Time { return now }
	if err := after.load(); err != nil {
		t.Fatal(err)
	}
	if s, _ := after.known(cookie); s == nil || s.ends.Sub(now) > sessionTime {
		t.Fatalf("the session is %+v", s)
	}
	now = now.Add(idleTime + time.Second)
	if s, _ := after.known(cookie); s != nil {
		t.Error("a session without requests goes on")
	}
	link := token()
	text, err := json.Marshal(keptLink{"li", roleAdmin, time.Hour, now.Add(24 * time.Hour)})
	if err == nil {
		err = statedir.WriteFile(linkFile(dir, sha256.Sum256([]byte(link))), text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := after.redeem(link); ok {
		t.Error("a link of tomorrow signs in")
	}
}

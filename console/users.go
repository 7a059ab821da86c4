package console

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/skerry/skerry/internal/statedir"
)

// User is a line of the file of users: NAME ROLE PROOF. The proof is the hash of a password, or the word certificate:
// then a certificate of the site's authority with this name is the only way in.
type User struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password bool   `json:"password"`

	role role
	hash string
}

const (
	passwordRounds = 600_000
	leastPassword  = 8    // letters
	mostPassword   = 1024 // bytes
	mostUsers      = 1000
	certificate    = "certificate"
	hashKind       = "pbkdf2-sha256"
	usersHead      = "# skerry: the users of the console. One line each: name, role (viewer, operator, admin), proof.\n"
)

// AddUser adds a user to a file, or changes one. Without a password the user signs in by a certificate only.
func AddUser(file, name, role, password string) error {
	r, err := parseRole(role)
	if err != nil {
		return err
	}
	if !goodName(name) {
		return fmt.Errorf("%q is no name of a user: want letters, digits and . _ @ -, at most 64", name)
	}
	u := User{Name: name, role: r, hash: certificate}
	if password != "" {
		if u.hash, err = passwordHash(password, passwordRounds); err != nil {
			return err
		}
	}
	return changeUsers(file, func(list []User) ([]User, error) {
		list = slices.DeleteFunc(list, func(o User) bool { return o.Name == name })
		if len(list) >= mostUsers {
			return nil, fmt.Errorf("the file has %d users, which is the most", mostUsers)
		}
		return append(list, u), nil
	})
}

// RemoveUser takes a user out of a file. Its sessions end with its next request.
func RemoveUser(file, name string) error {
	return changeUsers(file, func(list []User) ([]User, error) {
		rest := slices.DeleteFunc(slices.Clone(list), func(o User) bool { return o.Name == name })
		if len(rest) == len(list) {
			return nil, fmt.Errorf("%s has no user %q", file, name)
		}
		return rest, nil
	})
}

// Users reads a file of users.
func Users(file string) ([]User, error) {
	if err := private(file); err != nil {
		return nil, err
	}
	text, err := statedir.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseUsers(file, string(text))
}

func parseUsers(file, text string) (list []User, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s, line %d: want NAME ROLE PROOF; make lines with: skerry console user add",
				file, n)
		}
		u := User{Name: fields[0], Role: fields[1], Password: fields[2] != certificate, hash: fields[2]}
		if u.role, err = parseRole(fields[1]); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, n, err)
		}
		if !goodName(u.Name) {
			return nil, fmt.Errorf("%s, line %d: %q is no name of a user", file, n, u.Name)
		}
		if u.Password {
			if _, _, _, err := parseHash(u.hash); err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", file, n, err)
			}
		}
		if slices.ContainsFunc(list, func(o User) bool { return o.Name == u.Name }) {
			return nil, fmt.Errorf("%s, line %d: the user %s stands there twice", file, n, u.Name)
		}
		if list = append(list, u); len(list) > mostUsers {
			return nil, fmt.Errorf("%s has more than %d users", file, mostUsers)
		}
	}
	return list, nil
}

// changeUsers replaces a file of users by another list, and makes a missing one.
func changeUsers(file string, change func([]User) ([]User, error)) error {
	lock, err := statedir.Lock(filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".lock"))
	if err != nil {
		return fmt.Errorf("change %s: %w", file, err)
	}
	defer lock.Close()
	list, err := Users(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if list, err = change(list); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(usersHead)
	for _, u := range list {
		fmt.Fprintf(&b, "%s %s %s\n", u.Name, u.role, u.hash)
	}
	return statedir.WriteFile(file, []byte(b.String()))
}

// private refuses a file that other users may read. A file that is not there is no error.
func private(file string) error {
	info, err := statedir.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("other users may read or write %s (mode %o); correct it with: chmod 600 %s", file, mode, file)
	}
	return nil
}

func goodName(name string) bool {
	return name != "" && name[0] != '#' && utf8.ValidString(name) && utf8.RuneCountInString(name) <= 64 &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._@-", r)
		})
}

var base64Text = base64.RawURLEncoding

// passwordHash is the proof of a password: KIND:ROUNDS:SALT:HASH.
func passwordHash(password string, rounds int) (string, error) {
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return "", errors.New("a password has no control characters")
	case utf8.RuneCountInString(password) < leastPassword:
		return "", fmt.Errorf("the password is too short: take %d letters or more", leastPassword)
	case len(password) > mostPassword:
		return "", fmt.Errorf("the password is too long: at most %d bytes", mostPassword)
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:%d:%s:%s", hashKind, rounds, base64Text.EncodeToString(salt),
		base64Text.EncodeToString(key)), nil
}

func parseHash(hash string) (rounds int, salt, key []byte, err error) {
	parts := strings.Split(hash, ":")
	if len(parts) == 4 && parts[0] == hashKind {
		var err1, err2, err3 error
		rounds, err1 = strconv.Atoi(parts[1])
		salt, err2 = base64Text.DecodeString(parts[2])
		key, err3 = base64Text.DecodeString(parts[3])
		if errors.Join(err1, err2, err3) == nil && rounds > 0 && rounds <= 100*passwordRounds && len(salt) >= 16 &&
			len(key) == sha256.Size {
			return rounds, salt, key, nil
		}
	}
	return 0, nil, nil, errors.New("the proof is neither a hash of this program nor the word certificate; make it " +
		"with: skerry console user add")
}

// directory is a file of users that is read again when it changes.
type directory struct {
	file string
	log  func(error) // called once for each error

	mu     sync.Mutex
	looked time.Time
	stamp  string
	list   map[string]User
	failed string
	dummy  string // a hash of no password, so that unknown names take as long as known ones
}

const usersPeriod = 2 * time.Second // between two looks at the file

func newDirectory(file string, log func(error)) *directory { return &directory{file: file, log: log} }

// user returns a user by name. While the file can't be read there are no users.
func (d *directory) user(name string, now time.Time) (User, bool) {
	if d == nil {
		return User{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.looked) >= usersPeriod || now.Before(d.looked) {
		d.looked = now
		d.look()
	}
	u, ok := d.list[name]
	return u, ok
}

func (d *directory) look() {
	stamp := ""
	if info, err := statedir.Stat(d.file); err == nil {
		stamp = fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
	}
	if stamp == d.stamp && stamp != "" {
		return
	}
	d.stamp = stamp
	list, err := Users(d.file)
	d.list = map[string]User{}
	if err != nil {
		if err.Error() != d.failed {
			d.log(err)
		}
		d.failed, d.stamp = err.Error(), ""
		return
	}
	d.failed = ""
	for _, u := range list {
		d.list[u.Name] = u
	}
}

// check reports whether a password is the one of a user. It takes as long for a name that is not there.
func (d *directory) check(name, password string, now time.Time) (User, bool) {
	u, ok := d.user(name, now)
	hash := u.hash
	if !ok || !u.Password {
		hash, ok = d.noPassword(), false
	}
	rounds, salt, want, err := parseHash(hash)
	if err != nil || len(password) > mostPassword {
		return User{}, false
	}
	got, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil || subtle.ConstantTimeCompare(got, want) != 1 {
		return User{}, false
	}
	return u, ok
}

// noPassword is a hash with as many rounds as the most of the users have, which no password fits.
func (d *directory) noPassword() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	rounds := 0
	for _, u := range d.list {
		if n, _, _, err := parseHash(u.hash); err == nil {
			rounds = max(rounds, n)
		}
	}
	if rounds == 0 {
		rounds = passwordRounds
	}
	if d.dummy == "" || !strings.HasPrefix(d.dummy, fmt.Sprintf("%s:%d:", hashKind, rounds)) {
		random := make([]byte, 16+sha256.Size)
		rand.Read(random)
		d.dummy = fmt.Sprintf("%s:%d:%s:%s", hashKind, rounds, base64Text.EncodeToString(random[:16]),
			base64Text.EncodeToString(random[16:]))
	}
	return d.dummy
}

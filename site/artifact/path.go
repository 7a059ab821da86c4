package artifact

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxPath  = 1024 // bytes
	maxName  = 200  // bytes of one element of a path
	maxDepth = 64

	maxSpelled = 500_000 // files and directories of one list
)

// reserved are the names of devices of Windows, with any extension and in any case.
var reserved = []string{"con", "prn", "aux", "nul", "conin$", "conout$",
	"com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "com¹", "com²", "com³",
	"lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "lpt¹", "lpt²", "lpt³"}

// checkPath accepts the path of a file that means the same on every system: relative, with /, and below the
// directory that it is unpacked to.
func checkPath(p string) error {
	fault := func(why string) error { return fmt.Errorf("path %.120q: %s", p, why) }
	switch {
	case p == "":
		return errors.New("a path is empty")
	case len(p) > maxPath:
		return fault(fmt.Sprintf("%d bytes, at most %d are taken", len(p), maxPath))
	case !utf8.ValidString(p):
		return fault("it is not UTF-8")
	case p[0] == '/':
		return fault("it is absolute, and a file lies below the artifact's directory")
	case strings.Count(p, "/") >= maxDepth:
		return fault(fmt.Sprintf("it is more than %d directories deep", maxDepth))
	}
	for name := range strings.SplitSeq(p, "/") {
		if why := nameFault(name); why != "" {
			return fault(why)
		}
	}
	return nil
}

// nameFault says what is wrong with one element of a path, "" when nothing is.
func nameFault(name string) string {
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	bad := strings.IndexFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || r == utf8.RuneError || strings.ContainsRune(`\:*?"<>|`, r)
	})
	switch {
	case name == "":
		return "an element is empty"
	case name == "." || name == "..":
		return "the element " + name + " leads elsewhere"
	case len(name) > maxName:
		return fmt.Sprintf("an element has %d bytes, at most %d are taken", len(name), maxName)
	case bad >= 0:
		return fmt.Sprintf("Windows has no file with %.8q in its name", name[bad:])
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return "Windows drops the dot or blank at the end of a name"
	case slices.Contains(reserved, strings.TrimRight(stem, " ")):
		return "the name of a device under Windows"
	}
	return ""
}

// checkPaths checks each path, and that no two of them meet on a system that ignores case.
func checkPaths(paths []string) error {
	spelled := map[string]string{} // by the folded form: how it was written first
	files := map[string]bool{}
	for _, p := range paths {
		if err := checkPath(p); err != nil {
			return err
		}
		if files[p] {
			return fmt.Errorf("path %.120q: it stands twice", p)
		}
		files[p] = true
		if err := spell(spelled, p); err != nil {
			return err
		}
	}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return fmt.Errorf("path %.120q: %.120q is a file, and can't be a directory, too", p, dir)
			}
		}
	}
	return nil
}

// spell notes how a path and its directories are written, and refuses a second spelling of one of them.
func spell(spelled map[string]string, p string) error {
	for folded := fold(p); ; {
		first, seen := spelled[folded]
		if seen && first != p {
			return fmt.Errorf("paths %.120q and %.120q differ in case only, and are one file under Windows", first, p)
		}
		if len(spelled) == maxSpelled {
			return fmt.Errorf("more than %d files and directories", maxSpelled)
		}
		spelled[folded] = p
		at := strings.LastIndexByte(p, '/')
		if seen || at < 0 {
			return nil
		}
		p, folded = p[:at], folded[:strings.LastIndexByte(folded, '/')]
	}
}

// fold maps every spelling in capital and small letters to one.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			if r >= 'a' && r <= 'z' {
				r -= 'a' - 'A' // the least of the three spellings of k and s, too
			}
			return r
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

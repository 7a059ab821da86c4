package deploy

import (
	"strings"
	"time"
)

// The keystroke-level model of Card, Moran and Newell, for an average typist; it gives an expert's time
// without mistakes or pauses.
const (
	keyTime    = 280 * time.Millisecond
	mentalTime = 1350 * time.Millisecond
	walkTime   = 20 * time.Second // to the next console, with the stick plugged in or out
	editKeys   = 9                // to find and replace a value in vi, beside the value's own keys
	saveKeys   = 4                // :wq and Enter
	valueThink = 2                // mental operators to look a value up and to compare it
	signIn     = "root\npassword"
)

// step is one thing that a person does, and that the program then really does: a command that is
// typed, values that are changed in a file, or the way to another console.
type step struct {
	host    int
	command string            // typed; for an edit "vi FILE"
	file    string            // that the edit changes
	values  map[string]string // of the edit: what stands there, and what is typed over it
	answers []string          // typed at questions of the command
	inside  int               // values of the site within the command
	reads   bool              // the answer is read
	again   bool              // until the command succeeds, at most readTime
	walks   bool              // to the host, and signs in; nothing is executed
}

// keys is how many keys are pressed.
func (s step) keys() int {
	if s.walks {
		return len(signIn) + 1
	}
	n := len(s.command) + 1
	for _, a := range s.answers {
		n += len(a) + 1
	}
	for _, v := range s.values {
		n += editKeys + len(v)
	}
	if s.file != "" {
		n += saveKeys
	}
	return n
}

// typedValues is how many values of the site are looked up and typed.
func (s step) typedValues() int { return len(s.values) + len(s.answers) + s.inside }

// time is how long a person takes.
func (s step) time() time.Duration {
	thinks := 1 + valueThink*s.typedValues()
	if s.reads {
		thinks++
	}
	t := time.Duration(s.keys())*keyTime + time.Duration(thinks)*mentalTime
	if s.walks {
		t += walkTime
	}
	return t
}

// work is what a person does for one task, in order.
type work struct {
	at    int
	steps []step
}

func (w *work) add(s step) { s.host = w.at; w.steps = append(w.steps, s) }

// visit goes to a host and signs in.
func (w *work) visit(host int) { w.at = host; w.add(step{walks: true}) }

// run types commands, one step each.
func (w *work) run(commands ...string) {
	for _, c := range commands {
		w.add(step{command: c})
	}
}

// read types a command and reads what it prints.
func (w *work) read(command string) { w.add(step{command: command, reads: true}) }

// await is read for a command that fails until something is there, which a person meets seldom.
func (w *work) await(command string) { w.add(step{command: command, reads: true, again: true}) }

// value types a command with one value of the site in it.
func (w *work) value(command string) { w.add(step{command: command, inside: 1}) }

// edit changes values in a file.
func (w *work) edit(file string, values map[string]string) {
	w.add(step{command: "vi " + file, file: file, values: values})
}

// cost is what a task takes of a person.
type cost struct {
	Steps  int     `json:"steps"`
	Visits int     `json:"visits"`
	Values int     `json:"values"`
	Keys   int     `json:"keys"`
	Person float64 `json:"person_seconds"`
}

func (w *work) cost() (c cost) {
	var t time.Duration
	for _, s := range w.steps {
		c.Steps++
		if s.walks {
			c.Visits++
		}
		c.Values += s.typedValues()
		c.Keys += s.keys()
		t += s.time()
	}
	c.Person = t.Seconds()
	return c
}

// apply is the content of a file after the edit; ok is false where a value does not stand there.
func (s step) apply(text string) (out string, ok bool) {
	for old, now := range s.values {
		if !strings.Contains(text, old) {
			return "", false
		}
		text = strings.ReplaceAll(text, old, now)
	}
	return text, true
}

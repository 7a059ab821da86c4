package recent

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Side is the side of a call that this process was on.
type Side uint8

// The two sides.
const (
	Callee Side = iota
	Caller
	sides
)

// Key identifies calls that are counted together. Version is the callee's. The facts of the caller are set for calls
// that this process served; a process knows its own.
type Key struct {
	Side                    Side
	Service, Method         string
	Version                 string
	Caller, Proof           string // Proof as in rpc.DeniedCalls
	CallerVersion, Zone     string
	Tags                    string // of TagText
	OwnFallback, Unmirrored bool   // of the caller: the program answers failed calls itself; no copies are made
	Greets                  bool   // the caller is a process of skerry, which counts the calls, too
	HTTP                    bool   // requests of a gateway to an HTTP service: no policy is tried on them
}

// Bounds of a recorder.
const (
	mostKinds = 1000
	mostBytes = 16 << 20
	mostHists = mostKinds / 2 // while there are fewer kinds, those of the callee get a histogram, too
	shared    = 256           // further kinds, for calls of a service beyond these bounds
	sweepTime = 10 * time.Second

	ringBytes = 8*slots + 64
	kindBytes = 1 << 10
)

// Others is the method of calls beyond the bounds.
const Others = "*"

// Recorder remembers calls. A nil *Recorder remembers nothing.
type Recorder struct {
	begun   time.Time
	running [slots]atomic.Uint64 // largest number of calls served at a time, of each second
	samples [sides]sampler
	bytes   atomic.Int64
	unkept  atomic.Int64 // latencies without a place in a histogram

	mu    sync.RWMutex
	kinds map[Key]*Kind
	swept time.Duration
}

// New returns an empty recorder.
func New() *Recorder {
	r := &Recorder{begun: time.Now(), kinds: map[Key]*Kind{}}
	for i := range r.samples {
		r.samples[i].reset()
	}
	return r
}

// Kind counts the calls of one key. A nil *Kind counts nothing.
type Kind struct {
	r     *Recorder
	key   Key
	rings [Outcomes]atomic.Pointer[ring]
	hist  *histogram // nil: there was no room for it
}

// Outcomes of calls that this process served.
const (
	Served  uint8 = iota // executed, with a reply
	Failed               // executed, and failed
	Refused              // beyond what the process serves at a time
	Denied               // by the policy's access
	Limited              // by a limit of the policy
)

// Outcomes of calls that this process made. A failure with an rpc.Code is FirstCode plus the code.
const (
	OK        uint8 = 0
	FirstCode uint8 = 1
	Injected  uint8 = Outcomes - 2 // a fault of the policy
	StandIn   uint8 = Outcomes - 1 // answered by the policy before it was sent
)

// Outcomes is the number of outcomes that a kind tells apart.
const Outcomes = 48

// Kind returns the counts of a key. The recorder keeps copies of the key's strings.
func (r *Recorder) Kind(k Key) *Kind {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	known := r.kinds[k]
	r.mu.RUnlock()
	if known != nil {
		return known
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(k)
}

// add finds a kind, or makes one. The caller holds mu.
func (r *Recorder) add(k Key) *Kind {
	if known := r.kinds[k]; known != nil {
		return known
	}
	if !r.room() {
		r.sweep()
	}
	if !r.room() {
		k = Key{Side: k.Side, Service: k.Service, Method: Others}
		if len(r.kinds) >= mostKinds+shared {
			k.Service = ""
		}
		if known := r.kinds[k]; known != nil {
			return known
		}
	}
	return r.insert(&Kind{r: r, key: k.clone()})
}

func (r *Recorder) insert(k *Kind) *Kind {
	if k.hist == nil && (k.key.Side == Caller || len(r.kinds) < mostHists) {
		k.hist = &histogram{}
		r.bytes.Add(histBytes)
	}
	r.bytes.Add(kindBytes)
	r.kinds[k.key] = k
	return k
}

func (r *Recorder) room() bool { return len(r.kinds) < mostKinds && r.bytes.Load() < mostBytes }

// sweep takes out the kinds that have no call in the window. The call path may hold such a kind, and brings it back.
func (r *Recorder) sweep() {
	now := time.Since(r.begun)
	if r.swept > 0 && now-r.swept < sweepTime {
		return
	}
	r.swept = now
	last := second(now)
	size := int64(0)
	for key, k := range r.kinds {
		if k.idle(last) {
			delete(r.kinds, key)
			k.empty()
		} else {
			size += k.size()
		}
	}
	r.bytes.Store(size)
}

// idle reports whether no outcome has a call in the window.
func (k *Kind) idle(last int64) bool {
	for o := range k.rings {
		if ring := k.rings[o].Load(); ring != nil && !ring.idle(last) {
			return false
		}
	}
	return true
}

func (k *Kind) size() int64 {
	size := int64(kindBytes)
	for o := range k.rings {
		if k.rings[o].Load() != nil {
			size += ringBytes
		}
	}
	if k.hist != nil {
		size += k.hist.size()
	}
	return size
}

// empty gives up the counts.
func (k *Kind) empty() {
	for o := range k.rings {
		k.rings[o].Store(nil)
	}
	if k.hist != nil {
		k.hist.empty()
	}
}

// ring returns the counts of an outcome, and makes them at its first call.
func (k *Kind) ring(outcome uint8) *ring {
	r := k.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := k.rings[outcome].Load(); at != nil {
		return at
	}
	switch known := r.kinds[k.key]; {
	case known == nil && !r.room(): // it was taken out for being idle
		at := r.add(k.key).made(outcome)
		k.rings[outcome].Store(at)
		return at
	case known == nil:
		r.insert(k)
	case known != k: // another one has its place
		at := known.made(outcome)
		k.rings[outcome].Store(at)
		return at
	}
	return k.made(outcome)
}

// made is ring for a holder of the recorder's mu.
func (k *Kind) made(outcome uint8) *ring {
	at := k.rings[outcome].Load()
	if at == nil {
		at = &ring{}
		k.rings[outcome].Store(at)
		k.r.bytes.Add(ringBytes)
	}
	return at
}

// Record counts a call that began at a time. sampled says that the recorder wants to know it: the caller goes on with
// Sample.
func (k *Kind) Record(began time.Time, took time.Duration, outcome uint8) (sampled bool) {
	if k == nil {
		return false
	}
	if int(outcome) >= Outcomes {
		outcome = Outcomes - 1
	}
	at := max(began.Sub(k.r.begun), 0)
	s := second(at)
	ring := k.rings[outcome].Load()
	if ring == nil {
		ring = k.ring(outcome)
	}
	ring.add(s, took)
	if k.hist != nil {
		k.hist.add(k.r, s, took)
	}
	return k.r.samples[k.key.Side].draws(s)
}

// Running notes that so many calls are served at a time.
func (r *Recorder) Running(now time.Time, n int64) {
	if r == nil {
		return
	}
	s := second(max(now.Sub(r.begun), 0))
	slot := &r.running[s%slots]
	mark := lap(s)<<lapShift | uint64(min(max(n, 0), 1<<lapShift-1))
	for {
		old := slot.Load()
		if old >= mark { // of the same lap and no less, or of a later one
			return
		}
		if slot.CompareAndSwap(old, mark) {
			return
		}
	}
}

// TagText is the text of tags in a Key.
func TagText(keys []string, value func(key string) string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(key + "\x00" + value(key) + "\x00")
	}
	return b.String()
}

// Tagged returns the tags of a TagText, nil without any.
func Tagged(text string) map[string]string {
	if text == "" {
		return nil
	}
	tags := map[string]string{}
	parts := strings.Split(text, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		tags[parts[i]] = parts[i+1]
	}
	return tags
}

func (k Key) clone() Key {
	for _, s := range []*string{&k.Service, &k.Method, &k.Version, &k.Caller, &k.Proof, &k.CallerVersion, &k.Zone,
		&k.Tags} {
		*s = strings.Clone(*s)
	}
	return k
}

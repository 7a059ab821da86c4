package main

import (
	"fmt"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// startMargin is added to a promise for loading a new process and opening its port. The time counts
// from the moment at which the demo asks the system to start it.
const startMargin = 500 * time.Millisecond

// answerMargin is how much later than its answer a call may be counted: the demo sees the call when
// its whole request has its answer.
const answerMargin = 200 * time.Millisecond

// observation is the result of one scene.
type observation struct {
	began time.Time
	calls []call // all that ended in the scene
	find  func(name string) *site.Process
}

// promise is a condition of a scene. keep measures and judges it.
type promise struct {
	text string
	keep func(observation) (measured string, kept bool)
}

func noCallFails() promise {
	return promise{"no call fails", func(o observation) (string, bool) {
		n := count(o.calls)
		return fmt.Sprintf("%d of %d calls failed", n.failures, n.calls), n.failures == 0 && n.calls > 0
	}}
}

// requestsBreak shows the effect of a restart without a release. Skerry promises nothing here; the
// scene measures the value of a release.
func requestsBreak() promise {
	return promise{"requests that meet both versions break: this is what releases are for",
		func(o observation) (string, bool) {
			broke, mixed, all := requests(o.calls)
			return fmt.Sprintf("%d of %d requests broke, %d more met Auth and Proc of different versions", broke, all,
				mixed), broke > 0
		}}
}

// nothingIsMixed: from so long after the act no request breaks or meets two versions.
func nothingIsMixed(after time.Duration) promise {
	text := fmt.Sprintf("after %v only v2 is left, and no request breaks", after)
	return promise{text, func(o observation) (string, bool) {
		var late []call
		for _, c := range o.calls {
			if c.ended.Sub(o.began) > after+answerMargin {
				late = append(late, c)
			}
		}
		broke, mixed, all := requests(late)
		return fmt.Sprintf("%d of %d requests broke, %d met two versions", broke, all, mixed),
			broke+mixed == 0 && all > 0
	}}
}

// noRequestIsMixed is the promise of a release.
func noRequestIsMixed() promise {
	return promise{"no request fails, and none meets two versions", func(o observation) (string, bool) {
		broke, mixed, all := requests(o.calls)
		measured := fmt.Sprintf("%d of %d requests failed, %d met two versions", broke, all, mixed)
		if broke > 0 {
			measured += ": " + firstFailure(o.calls)
		}
		return measured, broke+mixed == 0 && all > 0
	}}
}

// firstFailure returns the first failure.
func firstFailure(calls []call) string {
	for _, c := range calls {
		if c.failure != "" {
			return c.failure
		}
	}
	return ""
}

// onlyMeets: from so long after the act every request meets Auth and Proc of
// one version.
func onlyMeets(version string, after time.Duration) promise {
	text := fmt.Sprintf("every request meets %s", version)
	if after > 0 {
		text += fmt.Sprintf(" %v after the command was given", after)
	}
	return promise{text, func(o observation) (string, bool) {
		met, others := 0, 0
		for _, c := range o.calls {
			switch {
			case c.service != "auth" && c.service != "proc" || c.failure != "" || c.ended.Sub(o.began) < after:
			case c.version == version:
				met++
			default:
				others++
			}
		}
		return fmt.Sprintf("%d calls of Auth and Proc did, %d did not", met, others), met > 0 && others == 0
	}}
}

// requests counts the load's own requests: each is one call to Portal, or the
// call that made it fail.
func requests(calls []call) (broke, mixed, all int) {
	for _, c := range calls {
		switch {
		case c.failure != "":
			broke++
			all++
		case c.service == "portal":
			all++
			if c.mixed {
				mixed++
			}
		}
	}
	return broke, mixed, all
}

// avoided: after the act nothing goes to the process for longer than limit.
// A call that had to try twice went to it first.
func avoided(name string, limit time.Duration) promise {
	text := fmt.Sprintf("callers avoid %s within %v", name, limit)
	return promise{text, func(o observation) (string, bool) {
		p, last := o.find(name), o.began
		for _, c := range o.calls {
			touched := c.instance == p.Addr || c.service == p.Service && c.attempts > 1
			if touched && c.ended.After(last) {
				last = c.ended
			}
		}
		after := last.Sub(o.began)
		if after == 0 {
			return "at once: no call went to it any more", othersServed(o, p)
		}
		return fmt.Sprintf("after %s", ms(after)), after <= limit && othersServed(o, p)
	}}
}

// onlySentCallsFail: a call fails only when it had been sent to the process, so that its execution
// is unknown. All other calls go elsewhere.
func onlySentCallsFail(name string) promise {
	text := fmt.Sprintf("no call fails but those that %s was working on", name)
	return promise{text, func(o observation) (string, bool) {
		addr, n, others := o.find(name).Addr, count(o.calls), 0
		for _, c := range o.calls {
			if c.failure != "" && (c.instance != addr || !c.sent) {
				others++
			}
		}
		return fmt.Sprintf("%d of %d calls failed, %d of them others", n.failures, n.calls, others), others == 0 &&
			n.calls > 0
	}}
}

// used: a new process answers its first call in time.
func used(name string, limit time.Duration) promise {
	text := fmt.Sprintf("%s is used within %v (and %v for its start)", name, limit, startMargin)
	return promise{text, func(o observation) (string, bool) {
		its := of(o.calls, o.find(name).Addr)
		for _, c := range its {
			if c.failure == "" {
				after := c.ended.Sub(o.began)
				return fmt.Sprintf("after %s", ms(after)), after <= limit+startMargin
			}
		}
		return "never", false
	}}
}

// left: a process that was asked to stop gets no new call after limit.
func left(name string, limit time.Duration) promise {
	text := fmt.Sprintf("no new call goes to %s after %v (and %v for the answer)", name, limit, answerMargin)
	return promise{text, func(o observation) (string, bool) {
		p, last := o.find(name), o.began
		for _, c := range of(o.calls, p.Addr) {
			if c.ended.After(last) {
				last = c.ended
			}
		}
		after := last.Sub(o.began)
		if after == 0 {
			return "at once: no call ended there any more", othersServed(o, p)
		}
		return fmt.Sprintf("the last one ended after %s", ms(after)), after <= limit+answerMargin && othersServed(o, p)
	}}
}

// ended: the process has left by itself, with status 0.
func ended(name string) promise {
	return promise{name + " ends by itself, with status 0", func(o observation) (string, bool) {
		when, err := o.find(name).Ended()
		switch {
		case when.IsZero():
			return "it is still running", false
		case err != nil:
			return err.Error(), false
		}
		return fmt.Sprintf("after %s", ms(when.Sub(o.began))), true
	}}
}

// othersServed checks that the promise was not kept by answering no call.
func othersServed(o observation, gone *site.Process) bool {
	for _, c := range o.calls {
		if c.service == gone.Service && c.instance != gone.Addr && c.failure == "" {
			return true
		}
	}
	return false
}

// ms formats a duration for the demo's output.
func ms(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

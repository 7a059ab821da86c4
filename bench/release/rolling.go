package release

// rolling is the plain rolling update: instance by instance, a new one is
// started and an old one leaves as soon as it is idle. Every call goes to any
// instance.
type rolling struct{ plain }

func (r rolling) release() { r.next(0) }

func (r rolling) next(n int) {
	if n == len(r.world.modules)*r.world.replicas {
		r.finish()
		return
	}
	service, i := r.world.modules[n/r.world.replicas], n%r.world.replicas
	r.start(service, fresh, i)
	r.leave(r.instances(service, old)[0], func() { r.next(n + 1) })
}

// leave waits until the process has nothing to do, and nothing on its way to it.
func (r rolling) leave(p *process, then func()) {
	p.leaving = true
	r.After(2*message, func() {
		if p.running > 0 {
			r.leave(p, then)
			return
		}
		p.stopped = true
		then()
	})
}

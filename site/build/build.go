package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/gitrepo"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/artifact"
)

// cancelLook is how often a run looks for the wish to end it.
const cancelLook = 200 * time.Millisecond

// Builder runs recipes in a directory.
type Builder struct {
	dir    string
	config Config
}

// New is the builder of a directory.
func New(dir string, c Config) *Builder { return &Builder{dir, c} }

// Order is what a run is asked for.
type Order struct {
	Service string
	Repo    string // directory of the bare repository
	Source  string // as artifacts name the repository
	Recipe  string // path in the repository; "" is DefaultRecipe
	Commit  string // branch, tag or hash; "" is the first branch
	Version string // of the artifacts; "" is the tag of the commit, else the beginning of its hash
	By      string

	Store  *artifact.Store
	Signer artifact.Signer // nil leaves artifacts unsigned

	Began func(Result) // is called when the run has its number; may be nil
	Live  io.Writer    // gets the log as it is written; may be nil
}

// run is one run under way.
type run struct {
	*Builder
	order  Order
	slot   slot
	result Result
	log    *keeper
	token  string
	recipe *Recipe
	work   string // directory of checkout, home and temporary files
	user   *account
}

// refusal is an error before anything of the commit was executed.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Run builds a commit. The error is nil when there is a result that is kept, however it ended.
func (b *Builder) Run(ctx context.Context, o Order) (Result, error) {
	if err := registry.CheckName("service", o.Service); err != nil {
		return Result{}, err
	}
	if o.Recipe == "" {
		o.Recipe = DefaultRecipe
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "work"), 0o755); err != nil {
		return Result{}, err
	}
	r := &run{Builder: b, order: o, token: strings.ToLower(rand.Text()), result: Result{Step: "build",
		Target: o.Service + "@" + o.Commit, Outcome: Running, By: o.By,
		Began: time.Now().UTC().Truncate(time.Millisecond), Service: o.Service, Repo: o.Source,
		Commit: o.Commit, Artifacts: []Built{}}}
	s, lock, err := b.newSlot(ctx, &r.result)
	if err != nil {
		return Result{}, err
	}
	defer lock.Close()
	r.slot, r.work = s, filepath.Join(b.dir, "work", filepath.Base(s.dir))
	file, err := statedir.Append(s.file(logFile))
	if err != nil {
		return Result{}, err
	}
	r.log = newKeeper(file, o.Live)
	if o.Began != nil {
		o.Began(r.result)
	}
	r.end(r.do(ctx), file)
	return r.result, errors.Join(s.write(r.result), file.Close())
}

// end fills in the result.
func (r *run) end(err error, file *os.File) {
	if failed := removeAll(r.work); failed != nil { // first of all: it frees the disk
		r.log.printf("remove %s: %v\n", r.work, failed)
	}
	_, refused := errors.AsType[refusal](err)
	switch {
	case err == nil:
		r.result.Outcome = Succeeded
	case refused:
		r.result.Outcome, r.result.Why = Refused, err.Error()
	default:
		r.result.Outcome, r.result.Why = Failed, err.Error()
	}
	r.result.Log = r.log.finish(func(most int64) []byte { return tailOf(file.Name(), most) })
	r.result.Took = time.Since(r.result.Began).Round(time.Millisecond).Seconds()
}

// tailOf reads the end of a file.
func tailOf(path string, most int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return text
}

// do is the run.
func (r *run) do(ctx context.Context) error {
	if err := supported(); err != nil {
		return refusal{err}
	}
	user, err := accountOf(r.config.User)
	if err != nil {
		return refusal{err}
	}
	if err := user.reaches(filepath.Dir(r.work)); err != nil {
		return refusal{err}
	}
	r.user = user
	repo, err := gitrepo.Open(ctx, r.order.Repo)
	if err != nil {
		return refusal{err}
	}
	commit, err := repo.Resolve(ctx, r.order.Commit)
	if err != nil {
		return refusal{err}
	}
	if err := r.name(ctx, repo, commit); err != nil {
		return err
	}
	if err := r.read(ctx, repo, commit); err != nil {
		return err
	}
	if r.result.Sandbox, err = r.sandbox(ctx); err != nil {
		return err
	}
	if err := r.slot.write(r.result); err != nil {
		return err
	}
	if err := statedir.WriteFile(r.slot.file(tokenFile), []byte(r.token)); err != nil {
		return err
	}
	if err := r.checkout(ctx, repo, commit); err != nil {
		return fmt.Errorf("write the checkout: %w", err)
	}
	if err := r.steps(ctx, commit); err != nil {
		return err
	}
	return r.collect(ctx)
}

// name says commit and version in the result.
func (r *run) name(ctx context.Context, repo *gitrepo.Repo, c gitrepo.Commit) error {
	version := r.order.Version
	if version == "" {
		tag, err := repo.Tag(ctx, c.ID)
		if err != nil {
			return err
		}
		if version = c.ID[:12]; tag != "" && registry.CheckName("version", tag) == nil {
			version = tag
		}
	}
	if err := registry.CheckName("version", version); err != nil {
		return refusal{err}
	}
	r.result.Commit, r.result.Target, r.result.Version = c.ID, r.order.Service+"@"+c.ID[:12], version
	return nil
}

// read reads the recipe of the commit.
func (r *run) read(ctx context.Context, repo *gitrepo.Repo, c gitrepo.Commit) error {
	text, err := repo.File(ctx, c.ID, r.order.Recipe, maxRecipe)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("the commit has no recipe %q; add the file to the repository", r.order.Recipe)
	}
	if err != nil {
		return refuse("read the recipe: %w", err)
	}
	r.recipe, err = ParseRecipe(r.order.Recipe, text, r.order.Service, runtime.GOOS+"/"+runtime.GOARCH)
	if err != nil {
		return refusal{err}
	}
	if r.recipe.Timeout > r.config.Timeout {
		return refuse("the recipe asks for %v, and the builder gives at most %v; see timeout in builder.yaml",
			r.recipe.Timeout, r.config.Timeout)
	}
	for _, t := range r.recipe.Tools {
		if !onPath(t, r.path()) {
			return refuse("the recipe needs the program %s, and this builder has none in %s; install it, or set PATH "+
				"in env of builder.yaml", t, r.path())
		}
	}
	return nil
}

// checkout writes the commit to a fresh directory of the user that runs the steps.
func (r *run) checkout(ctx context.Context, repo *gitrepo.Repo, c gitrepo.Commit) error {
	if err := os.Mkdir(r.work, 0o711); err != nil {
		return err
	}
	for _, name := range []string{"checkout", "home", "tmp"} {
		dir := filepath.Join(r.work, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := r.user.own(dir); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(filepath.Join(r.work, "checkout"))
	if err != nil {
		return err
	}
	defer root.Close()
	return repo.Write(ctx, c.ID, gitrepo.Checkout{To: root, Time: c.Time,
		Own:  func(name string) error { return r.user.ownIn(root, name) },
		Note: func(text string) { r.log.printf("%s\n", text) }})
}

// errCanceled ends a run that is not wanted any more.
type errCanceled struct{ by string }

func (e errCanceled) Error() string { return "it was canceled by " + e.by }

// steps runs the steps within the recipe's time, until the run is canceled.
func (r *run) steps(ctx context.Context, c gitrepo.Commit) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.recipe.Timeout,
		fmt.Errorf("the steps took more than %v; see timeout in %s", r.recipe.Timeout, r.order.Recipe))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, stop)
	}()
	defer func() {
		stop(nil)
		<-watched
	}()
	env := r.env(c)
	for _, step := range r.recipe.Steps {
		r.log.printf("$ %s\n", step)
		if err := r.execute(ctx, step, env); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("step %q: %w", step, err)
		}
	}
	return context.Cause(ctx)
}

// watch looks for the wish to end the run.
func (r *run) watch(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(cancelLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if by, err := statedir.ReadFile(r.slot.file(cancelFile)); err == nil {
			stop(errCanceled{string(by)})
			return
		}
	}
}

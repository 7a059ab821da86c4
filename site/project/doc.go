// Package project knows the services of a project: their Git repositories inside the site, and what became of their
// commits.
//
// # Model
//
// A [Project] belongs to a directory:
//
//	project.yaml         the services, their repositories and recipes; people may edit it
//	repos/SERVICE.git    bare repositories that are pushed to, and copies of those that are elsewhere
//	builder.yaml, builds, work    of package build
//
// The tree of a project is project, service, branch, commit, build, and the hosts where the build runs. Branches and
// commits are those of the repositories, builds are the results that the builder keeps, and hosts are what agents say:
// nothing of it is written by hand.
//
// # A push
//
// The hook of a repository calls skerry project pushed, which reads the recipe of each new commit and tells the person
// that pushes what is wrong with it. The hook decides nothing: what is to be built is read from the repositories.
//
// # Repositories
//
// One on this host, in repos or elsewhere; a file of git bundle from a stick; or one that SSH reaches. The latter two
// are fetched when they are used. A branch that would go back is refused.
package project

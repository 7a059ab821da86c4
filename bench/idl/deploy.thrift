// The four services of `bench deploy` have one method each.
namespace go deploy.stepapi

service Step {
  /** Names the instances that took part, in the order in which they answered; harmless to ask twice. */
  string run(1: string request)
}

package proxy

// inheritedListeners returns nothing: Windows has no such service manager.
func inheritedListeners() (inherited, error) { return nil, nil }

/** How a client reaches the proxy, and how long it waits. */
export interface Options {
  /** /path, unix:/path or host:port; else $SKERRY_PROXY, else /run/skerry/proxy.sock */
  address?: string;
  /** Of the program, needed over TCP; else the content of the file $SKERRY_PROXY_TOKEN_FILE. */
  token?: string;
  /** Milliseconds to wait for a reply; without it as long as the proxy takes, which ends each call in time. */
  timeout?: number;
}

/** A call or a connection that failed on its way to the proxy. */
export class TransportError extends Error {
  code: string;
  /** false when the call cannot have begun, undefined when that is not known. */
  executed?: boolean;
}

/** Returns a stock client of a service, which is called by its name through the proxy. */
export function connect<C>(service: string, Service: { Client: new (...args: any[]) => C }, options?: Options): C;
export function connect<C>(service: string, Client: new (...args: any[]) => C, options?: Options): C;

/** Wraps a generated service, its Processor or a processor that was built already. It must be the outermost. */
export function processor<P>(inner: P): P;

/** Returns the milliseconds until the deadline of the request that is served here, undefined without one. */
export function remaining(): number | undefined;

/** Runs run outside of any request and returns its result; without run, ends the request for what follows here. */
export function detach<T>(run: () => T): T;
export function detach(): void;

/** Returns run bound to the request that is served here, for a pool or an emitter that calls it later. */
export function wrap<F extends (...args: any[]) => any>(run: F): F;

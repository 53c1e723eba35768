/**
 * The programs that commands start, loaded only by the command that starts one: everything else the CLI does over HTTP.
 */
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';

/** A program that runs until it is asked to stop, politely. */
export interface Running {
  stop(): Promise<void>;
}

export interface RunningCapybara extends Running {
  readonly url: string;
  readonly apiKey: string;
}

interface Embedded {
  /** Throws `UserError` `already_running` where another process holds the data directory. */
  startCapybara(config: Config, options: { port?: number; log: Log }): Promise<RunningCapybara>;
}

interface Bootstrap {
  /** The first key of a server, once; `undefined` where keys exist. */
  bootstrap(url: string): Promise<{ apiKey: string } | undefined>;
}

export async function loadEmbedded(): Promise<Embedded> {
  return load('../embedded/capybara.ts');
}

export async function loadApi(): Promise<{ runApi(config: Config, log: Log): Promise<Running> }> {
  return load('../api/main.ts');
}

export async function loadWorker(): Promise<{ runWorker(config: Config, log: Log): Promise<Running> }> {
  return load('../worker/main.ts');
}

export async function loadBootstrap(): Promise<Bootstrap> {
  return load('../store/bootstrap.ts');
}

async function load<Module>(path: string): Promise<Module> {
  return (await import(path)) as Module;
}

/** Which models Oracle's cloud has in a region: asked at most once a day, and kept beside the other data. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import type { ModelOptions } from './connection.ts';
import { toFailure } from './failure.ts';
import { type OciCaller, OciService } from './oci-service.ts';
import { BadEndpoint } from './report.ts';

/** How long a list is good for. */
export const OCI_LIST_TTL_MS = 24 * 60 * 60 * 1000;
export const MAX_OCI_LIST_BYTES = 8 * 1024 * 1024;
/** Pages of one list. */
export const MAX_OCI_LIST_PAGES = 20;
const LIST_TIMEOUT_MS = 10_000;

const Item = z.object({
  displayName: z.string(),
  vendor: z.string().nullish(),
  version: z.string().nullish(),
  capabilities: z.array(z.string()).nullish(),
  lifecycleState: z.string().nullish(),
  timeOnDemandRetired: z.string().nullish(),
});
const Page = z.object({ items: z.array(Item) });

const OciListedModel = z.object({ name: z.string(), vendor: z.string() });
/** A model that can be talked to on demand. */
export type OciListedModel = z.infer<typeof OciListedModel>;

const Kept = z.object({ format: z.literal(1), at: z.number(), models: z.array(OciListedModel) });

export type OciListed = { readonly models: readonly OciListedModel[] } | { readonly problem: Failure };

export interface OciListOptions {
  /** Capybara's data directory. */
  readonly dataDir: string;
  readonly clock?: Clock;
  readonly timeoutMs?: number;
  /** Asks, however new what is kept is. */
  readonly fresh?: boolean;
}

/** Never throws: what is wrong is its answer. */
export async function listOciModels(options: ModelOptions, list: OciListOptions): Promise<OciListed> {
  const now = (list.clock ?? systemClock)();
  const file = join(list.dataDir, 'models', `oci-${fingerprintOf(options)}.json`);
  const kept = list.fresh ? undefined : await keptIn(file, now);
  if (kept !== undefined) return { models: kept };
  const service = new OciService(options);
  try {
    const signal = AbortSignal.timeout(list.timeoutMs ?? LIST_TIMEOUT_MS);
    const models = await askFor(service, { signal, now });
    await keep(file, { format: 1, at: now, models });
    return { models };
  } catch (error) {
    return { problem: toFailure(error, service.origin, { stage: 'connecting', now }) };
  }
}

/** Whose list it is: another region or compartment has another. */
function fingerprintOf({ provider, baseUrl, oci }: ModelOptions): string {
  const told = JSON.stringify([
    provider,
    baseUrl,
    oci?.auth,
    oci?.region,
    oci?.compartment,
    oci?.ociConfig,
    oci?.ociProfile,
  ]);
  return createHash('sha256').update(told).digest('hex').slice(0, 16);
}

async function keptIn(file: string, now: number): Promise<readonly OciListedModel[] | undefined> {
  try {
    const { at, models } = Kept.parse(JSON.parse(await readFile(file, 'utf8')));
    return at <= now && now - at < OCI_LIST_TTL_MS ? models : undefined;
  } catch {
    // Not there, or another version's: it is asked for anew.
    return undefined;
  }
}

async function keep(file: string, kept: z.infer<typeof Kept>): Promise<void> {
  const beside = `${file}.${randomUUID()}`;
  try {
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(beside, JSON.stringify(kept));
    await rename(beside, file);
  } catch {
    // A list that is not kept is asked for again.
    await rm(beside, { force: true });
  }
}

interface Asking {
  readonly signal: AbortSignal;
  readonly now: number;
}

async function askFor(service: OciService, asking: Asking): Promise<OciListedModel[]> {
  const caller = await service.caller('management', asking.signal);
  const found = new Map<string, OciListedModel>();
  let page: string | undefined;
  for (let pages = 0; pages < MAX_OCI_LIST_PAGES; pages += 1) {
    const { items, next } = await pageOf(service, caller, { ...asking, page });
    for (const model of items.flatMap((item) => modelOf(item, asking.now))) found.set(model.name, model);
    if (next === undefined) break;
    page = next;
  }
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function pageOf(
  service: OciService,
  caller: OciCaller,
  { signal, page }: Asking & { readonly page: string | undefined },
) {
  const url = new URL(`${caller.base}/models`);
  const query = {
    compartmentId: caller.compartment,
    capability: 'CHAT',
    lifecycleState: 'ACTIVE',
    limit: '100',
  };
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  if (page !== undefined) url.searchParams.set('page', page);
  const signed = await service.signed(caller, { method: 'GET', url: url.href, headers: {} }, signal);
  signed.delete('host');
  const headers = { accept: 'application/json', ...Object.fromEntries(signed) };
  const { statusCode: status, headers: raw, body } = await request(url, { headers, signal });
  const text = await textOf(body);
  const said = new Headers(
    Object.entries(raw).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])) as [
      string,
      string,
    ][],
  );
  if (status >= 400) throw service.refusal({ status, headers: said }, text, caller);
  const read = status >= 300 ? undefined : Page.safeParse(parsed(text));
  if (!read?.success) throw new BadEndpoint('answered with something that is no list of models');
  return { items: read.data.items, next: said.get('opc-next-page') ?? undefined };
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_OCI_LIST_BYTES) throw new BadEndpoint('answered with more than a list of models');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What is retired, or is not for talking, is left out, whatever the service was asked for. */
function modelOf(item: z.infer<typeof Item>, now: number): OciListedModel[] {
  const retired = Date.parse(item.timeOnDemandRetired ?? '');
  const isTalker = item.capabilities?.includes('CHAT') ?? false;
  const isActive = (item.lifecycleState ?? 'ACTIVE') === 'ACTIVE';
  if (!isTalker || !isActive || retired <= now || !/^[^\s\p{C}]{1,256}$/u.test(item.displayName)) return [];
  return [{ name: item.displayName, vendor: item.vendor ?? item.displayName.split('.')[0] ?? '' }];
}

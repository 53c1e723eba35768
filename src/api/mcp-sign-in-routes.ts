/**
 * How a team signs in at an MCP server: begun here, gone on with in somebody's browser, finished here with the code that it comes back with. What
 * is between the two is kept by whoever asked, sealed.
 */
import { timingSafeEqual } from 'node:crypto';
import { isAllowed } from '../allowed-hosts.ts';
import { saysWhoAsks } from '../config/mcp-settings.ts';
import type { McpUrlServer } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { checkedFetch } from '../mcp/oauth/checked-fetch.ts';
import { beginSignIn, finishSignIn, renewSignIn } from '../mcp/oauth/flow.ts';
import { expiryOf } from '../mcp/oauth/kept-access.ts';
import { type SignIn, SignInError } from '../mcp/oauth/sign-in.ts';
import { McpSignIns, removeSignIn } from '../store/mcp-sign-ins.ts';
import type { ApiDeps } from './deps.ts';
import { findMcpServer, noServerNamed } from './mcp-server-routes.ts';
import { badRequest, conflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import {
  BeginMcpSignIn,
  BegunMcpSignIn,
  FinishMcpSignIn,
  RemovedMcpServer,
  SignedInAtMcp,
} from './wire-mcp.ts';

/** So long somebody has to sign in. */
export const SIGN_IN_MS = 10 * 60_000;

export function mcpSignInRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/mcp/servers/:name/sign-in',
      summary: 'Begin to sign the team in at an MCP server (OAuth): say where a person goes on.',
      scope: 'admin',
      body: BeginMcpSignIn,
      success: { status: 200, description: 'Where to go, and what to finish with.', schema: BegunMcpSignIn },
      problems: { 404: ['not_found'], 409: ['mcp_sign_in_failed', 'no_encryption_key'] },
      handle: (call) => begin(deps, call),
    }),
    route({
      method: 'post',
      path: '/v1/mcp/servers/:name/sign-in/finish',
      summary: 'Finish to sign the team in at an MCP server, with what the person was sent back with.',
      scope: 'admin',
      body: FinishMcpSignIn,
      success: { status: 200, description: 'The team is signed in.', schema: SignedInAtMcp },
      problems: {
        400: ['bad_sign_in'],
        404: ['not_found'],
        409: ['mcp_sign_in_failed', 'no_encryption_key'],
      },
      handle: (call) => finish(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/mcp/servers/:name/sign-in',
      summary: 'Forget what the team has signed in with at an MCP server.',
      scope: 'admin',
      success: { status: 200, description: 'It is forgotten.', schema: RemovedMcpServer },
      problems: { 404: ['not_found'] },
      handle: async ({ caller: { teamId }, name }) => {
        const { outcome } = await removeSignIn(deps.db, { teamId, server: name });
        if (outcome === 'not_found') throw notFound(`sign-in at an MCP server ${shown(name)}`);
        return { status: 200, body: { server: name } };
      },
    }),
  ];
}

/** What whoever began it sends back to finish it. */
interface Login {
  readonly server: string;
  readonly state: string;
  readonly redirectUri: string;
  readonly signIn: SignIn;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
}

async function begin(deps: ApiDeps, call: Call<unknown, BeginMcpSignIn>): Promise<Reply> {
  const { caller, name, body } = call;
  const { sealing, clock } = deps;
  const { teamId } = caller;
  const at = { teamId, server: name };
  const { request, place, serverId } = await asked(deps, at);
  if (!sealing.canSeal) throw noEncryptionKey();
  await using checked = checkedFetch(place);
  const asking = { ...request, fetch: checked.fetch };
  if (asking.client.as === 'client') {
    // Begun anew: whoever lets it in may be another by now.
    const secret = await orProblem(name, () => renewSignIn({ ...asking, before: undefined }));
    const finished = await keep(deps, call, { serverId, secret });
    return { status: 200, body: { finished, authorizationUrl: null, login: null } };
  }
  const begun = await orProblem(name, () => beginSignIn(asking, body.redirectUri));
  const { authorizationUrl, state, signIn } = begun;
  const login: Login = { server: name, state, redirectUri: body.redirectUri, signIn, begunAt: clock() };
  const sealed = sealing.seal(Buffer.from(JSON.stringify(login)), { table: 'mcp_login', id: teamId });
  return { status: 200, body: { finished: null, authorizationUrl, login: sealed.toString('base64url') } };
}

async function finish(deps: ApiDeps, call: Call<unknown, FinishMcpSignIn>): Promise<Reply> {
  const { caller, name, body } = call;
  const { request, place, serverId } = await asked(deps, { teamId: caller.teamId, server: name });
  const login = opened(deps, caller.teamId, body.login);
  if (login === undefined || login.server !== name || login.signIn.url !== request.url)
    throw badRequest('bad_sign_in', `No sign-in at ${shown(name)} was begun with this login.`, 'login');
  if (deps.clock() - login.begunAt > SIGN_IN_MS)
    throw badRequest('bad_sign_in', 'It was begun more than 10 minutes ago: begin anew.', 'login');
  if (!isSame(login.state, body.state))
    throw badRequest('bad_sign_in', 'This is the answer to another sign-in: begin anew.', 'state');
  if (request.before?.finishedBy === body.state) return { status: 200, body: signedIn(name, request.before) };
  const { redirectUri, signIn } = login;
  await using checked = checkedFetch(place);
  const finished = await orProblem(name, () =>
    finishSignIn({ signIn, redirectUri, client: request.client, fetch: checked.fetch }, body),
  );
  const secret = { ...finished, finishedBy: body.state };
  return { status: 200, body: await keep(deps, call, { serverId, secret }) };
}

/** What is asked at which server, and where that may lead. Throws `ApiProblem` where there is none. */
async function asked(deps: ApiDeps, at: { readonly teamId: string; readonly server: string }) {
  const { id: serverId, settings } = await serverOf(deps, at);
  const before = await new McpSignIns<SignIn>(deps.db, deps.sealing).read(at).catch(unlessUnopened);
  const { url, oauth: client = {} } = settings;
  const allow = deps.mcp.allow ?? [];
  return {
    serverId,
    request: { url, client, before: before?.secret },
    place: { own: serverId === null ? url : undefined, isAllowed: (way: Way) => isAllowed(way, allow) },
  };
}

type Way = Parameters<typeof isAllowed>[0];

/** What another key has sealed is begun anew. */
function unlessUnopened(error: unknown): undefined {
  if (!(error instanceof UserError)) throw error;
}

async function serverOf(
  deps: ApiDeps,
  { teamId, server }: { readonly teamId: string; readonly server: string },
): Promise<{ readonly id: string | null; readonly settings: McpUrlServer }> {
  const found = await findMcpServer(deps, teamId, server);
  if (found === undefined) throw await noServerNamed(deps, teamId, server);
  const { id, settings } = found;
  const failed = (why: string) =>
    conflict('mcp_sign_in_failed', `Nobody signs in at the MCP server ${server}: ${why}.`);
  if (!('url' in settings)) throw failed('it is a program, which is given its keys as variables');
  if (saysWhoAsks(settings)) throw failed('it is sent the header Authorization that is configured for it');
  return { id, settings };
}

async function orProblem<T>(server: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SignInError) {
      const said = error.said === undefined ? '' : ` It said: ${error.said.slice(0, SAID_CHARACTERS)}`;
      throw conflict('mcp_sign_in_failed', `The MCP server ${server} ${error.message}.${said}`);
    }
    throw error;
  }
}

const SAID_CHARACTERS = 300;

async function keep(
  { db, sealing, clock }: ApiDeps,
  { caller, name }: Pick<Call<unknown, unknown>, 'caller' | 'name'>,
  { serverId, secret }: { readonly serverId: string | null; readonly secret: SignIn },
): Promise<SignedInAtMcp> {
  const { teamId, userId } = caller;
  const expiresAt = expiryOf(secret, clock());
  const signIns = new McpSignIns<SignIn>(db, sealing);
  const at = { teamId, server: name };
  const { outcome } = await signIns.putAt(serverId, at, { secret, expiresAt, userId });
  if (outcome === 'gone')
    throw notFound(`MCP server ${shown(name)} as it was signed in at: it was removed or replaced meanwhile`);
  return signedIn(name, secret);
}

function signedIn(server: string, { tokens }: SignIn): SignedInAtMcp {
  return { server, scope: tokens?.scope ?? null, canRenew: tokens?.refresh_token !== undefined };
}

function opened({ sealing }: ApiDeps, teamId: string, login: string): Login | undefined {
  try {
    const bytes = sealing.open(Buffer.from(login, 'base64url'), { table: 'mcp_login', id: teamId });
    return JSON.parse(bytes.toString('utf8')) as Login;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 60));
}

function noEncryptionKey() {
  return conflict(
    'no_encryption_key',
    'This Capybara has no key that a sign-in could be sealed with: whoever runs it sets CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints.',
  );
}

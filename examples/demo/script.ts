/**
 * The demo's model: it plays a coding agent that mends examples/demo/project. It decides by what the conversation shows, not by
 * counting, so a call whose outcome is unknown leads it to look before it goes on, as it would a real model.
 */
import {
  call,
  delay,
  type Script,
  type ScriptedMessage,
  type Step,
  say,
  think,
} from '../../tests/support/scripted-model/scripted-model.ts';

const SOURCE = 'src/duration.js';
const TESTS = 'test/duration.test.js';
const UNKNOWN = 'Outcome unknown';

const BROKEN = `  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(\`\${count}\${unit}\`);
  }`;
const MENDED = `  const parts = [];
  let rest = seconds;
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(\`\${count}\${unit}\`);
    rest -= count * size;
  }`;

/** What the conversation shows so far. */
interface Seen {
  source?: 'broken' | 'mended';
  tests?: 'failing' | 'passing';
}

const script: Script = (request) => [delay(150), ...[step(look(request.messages))].flat()];
export default script;

function step(seen: Seen): Step {
  if (seen.source === undefined) {
    return [
      think('I should see the code and its tests before I touch anything. '),
      say('I will read the code and its tests first.'),
      call('read_file', { path: SOURCE }),
      call('read_file', { path: TESTS }),
    ];
  }
  if (seen.tests === 'passing') {
    return say(
      `The tests pass. ${SOURCE} computed every unit from the whole duration; it now takes off what the larger units have used.`,
    );
  }
  if (seen.source === 'mended') {
    return [
      say('Now the tests again.'),
      call('bash', { command: 'node --test', description: 'Run the tests' }),
    ];
  }
  if (seen.tests === undefined) {
    return [
      say('Let me see how they fail.'),
      call('bash', { command: 'node --test', description: 'Run the tests' }),
    ];
  }
  return [
    think('Each unit is computed from all seconds: 3725 gives 62 minutes and 3725 seconds. '),
    say('Every unit is computed from the whole duration. What the larger units have used must be taken off.'),
    call('edit_file', { path: SOURCE, old_string: BROKEN, new_string: MENDED }),
  ];
}

function look(messages: readonly ScriptedMessage[]): Seen {
  const names = new Map<string, string>();
  let seen: Seen = {};
  for (const message of messages) {
    if (message.role === 'assistant') for (const { id, name } of message.calls) names.set(id, name);
    if (message.role === 'tool') seen = { ...seen, ...shownBy(names.get(message.callId), message) };
  }
  return seen;
}

function shownBy(
  tool: string | undefined,
  result: { text: string; isError: boolean },
): Seen | Record<string, undefined> {
  if (result.text.startsWith(UNKNOWN))
    return tool === 'edit_file' ? { source: undefined } : { tests: undefined };
  if (tool === 'bash') return { tests: result.isError ? 'failing' : 'passing' };
  if (tool === 'edit_file')
    return result.isError ? { source: undefined } : { source: 'mended', tests: undefined };
  if (tool === 'read_file' && result.text.includes('formatDuration(seconds)')) {
    return { source: result.text.includes('rest -=') ? 'mended' : 'broken' };
  }
  return {};
}

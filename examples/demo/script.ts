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
  source?: 'broken' | 'mended' | undefined;
  tests?: 'failing' | 'passing' | undefined;
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

/** Chat Completions has no mark for a failed call: the text says it. */
function shownBy(tool: string | undefined, { text }: { readonly text: string }): Seen {
  if (text.startsWith(UNKNOWN)) return tool === 'edit_file' ? { source: undefined } : { tests: undefined };
  if (tool === 'bash') return { tests: /\bfail 0\b/.test(text) ? 'passing' : 'failing' };
  if (tool === 'edit_file') {
    return text.startsWith('Error') ? { source: undefined } : { source: 'mended', tests: undefined };
  }
  if (tool === 'read_file' && text.includes('formatDuration(seconds)')) {
    return { source: text.includes('rest -=') ? 'mended' : 'broken' };
  }
  return {};
}

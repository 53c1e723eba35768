/** `capybara chat` in real terminals, with one Capybara that goes on when they are closed. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { byPrompt, CLI_TIMEOUT_MS, cliProgram, Place } from '../support/cli.ts';
import { pngOf } from '../support/images.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import {
  call,
  hang,
  type ScriptedModel,
  say,
  startScriptedModel,
  think,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const ENTER = '\r';
/** Bold, dim and colours; and what blinks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal is told
const COLOURED = /\x1b\[(?:1|2|5|3[0-7]|9[0-7]|38;[\d;]+)m/;
const [CTRL_C, CTRL_D, CTRL_O, CTRL_R, ESCAPE] = ['\x03', '\x04', '\x0f', '\x12', '\x1b'];
const [CTRL_V, CTRL_Z] = ['\x16', '\x1a'];

const LONG = Array.from({ length: 120 }, (_, index) => `line ${index}`).join('\n');

let place: Place;
let model: ScriptedModel;
let repository: string;
let spoken: PromiseWithResolvers<void>;
const open: PseudoTerminal[] = [];

beforeAll(async () => {
  spoken = Promise.withResolvers();
  const script = byPrompt({
    'greet the capybara': [
      [think('Where is it?'), say('I look at **the file**.'), call('read_file', { path: 'greeting.txt' })],
      [call('edit_file', { path: 'greeting.txt', old_string: 'world', new_string: 'capybara' })],
      [say('The greeting is '), hang(spoken.promise), say('mended:\n\n```ts\nconst word = "capybara";\n```')],
    ],
    'work for long': [[call('bash', { command: 'sleep 600' })]],
    'then say so': [[say('So I say.')]],
    'one\n\ntwo\n\nthree': [[say('Three lines.')]],
    [`from here\n${LONG}`]: [[say('All of it.')]],
    'look at this [image pasted-1.png]': [[say('A picture.')]],
  });
  model = await startScriptedModel({
    apiKey: 'sk-test',
    // Behind what the model is told of an emptied context.
    script: (request) =>
      request.messages.some(({ text }) => text.includes('what is left'))
        ? say('Nothing is left.')
        : script(request),
  });
  place = new Place({
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL_API_KEY: 'sk-test',
    CAPYBARA_MODEL: 'scripted',
  });
  repository = place.repository({ 'greeting.txt': 'hello world\n', 'src/main.ts': 'export {};\n' });
  await place.up();
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.end();
});
afterAll(async () => {
  await place.remove();
  await model.close();
});

function chat(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): PseudoTerminal {
  const terminal = new PseudoTerminal({
    ...{ command: process.execPath, args: [cliProgram(), 'chat', ...args] },
    ...{ cwd: repository, env: { ...place.environment, ...env }, columns: 80, rows: 24 },
  });
  open.push(terminal);
  return terminal;
}

describe('a chat', () => {
  test('streams an answer, asks in place, and shows the same wherever it is open', async () => {
    const one = chat();
    await one.sees(/Say what is to be done.*\n.*─+\n.*\n.*─+\nbuild · scripted/);
    one.type(`greet the capybara${ENTER}`);
    await one.sees(
      /❯ greet the capybara[\s\S]*∴ Where is it\?\n\nI look at the file\.\n\n✓ read_file greeting\.txt/,
    );
    await one.sees(/\? Allow edit_file greeting\.txt\? y, always, n, or n and why/);
    const two = chat(['last']);
    await two.sees(/old_string │ world\n[\s\S]*\? Allow edit_file/);
    two.type(`y${ENTER}`);
    await one.sees(/✓ edit_file greeting\.txt\n[\s\S]*allowed edit_file/);
    for (const each of [one, two]) await each.sees(/\n\nThe greeting is$/m);
    spoken.resolve();
    for (const each of [one, two]) {
      await each.sees(/The greeting is mended:[\s\S]*const word = "capybara";[\s\S]*✓ Done in .*, 3 turns/);
    }
    expect(readFileSync(join(repository, 'greeting.txt'), 'utf8')).toBe('hello capybara\n');

    one.type(CTRL_O);
    await one.sees(/- world\n\s+\+ capybara/);
    one.type(CTRL_O);

    // The tree stands beside the conversation where there is room, and nowhere else where nobody was asked to help.
    expect(one.text).not.toContain('Agent Communication Flow');
    one.resize(140, 40);
    await one.sees(/Agent Communication Flow[\s\S]*\[build\] completed/);
    one.resize(80, 24);
    await one.sees((text) => !text.includes('Agent Communication Flow'));
  });

  test('is left, and come back to, with the task going on; it is stopped by Ctrl-C, and steered meanwhile', async () => {
    const first = chat(['--mode', 'auto']);
    await first.sees(/Say what is to be done/);
    first.type(`work for long${ENTER}`);
    await first.sees(/▶ bash sleep 600/);
    first.type(`and be quick${ENTER}`);
    await first.sees(/❯ and be quick \(read with the next turn\)/);
    first.type(`/queue then say so${ENTER}`);
    await first.sees(/❯ then say so \(next\)/);
    first.type(CTRL_D);
    expect(await first.ended).toBe(0);
    const [, id = ''] = /The task goes on\.\s+Come back with: capybara chat (ses_\w+)/.exec(first.text) ?? [];

    const again = chat([id]);
    await again.sees(/▶ bash sleep 600[\s\S]*❯ then say so \(next\)/);
    again.type('half a line');
    await again.sees(/\nhalf a line\n/);
    again.type(CTRL_C);
    await again.sees((text) => text.includes('Ctrl-C again leaves') && !text.includes('half a line'));
    await again.sees((text) => !text.includes('Ctrl-C again leaves'));
    again.type(CTRL_C);
    await again.sees(/The task is being stopped/);
    await again.sees(/Stopped after[\s\S]*❯ then say so\n[\s\S]*So I say\.[\s\S]*✓ Done/);
  });

  test('has a history, a menu of commands, completion of paths, and takes many lines as one message', async () => {
    const terminal = chat(['--continue'], { NO_COLOR: '1' });
    await terminal.sees(/So I say\./);
    terminal.type('/mo');
    await terminal.sees(/\/mode \[MODE\] +choose how permission is asked\n.*\/model/);
    terminal.type(ESCAPE);
    await terminal.sees((text) => !text.includes('/mode ['));
    // One key at a time, as a person types: what comes in one piece is taken for text that was pasted.
    terminal.type('\x15');
    await terminal.sees((text) => !text.includes('\n/mo\n'));
    terminal.type('look at @mai');
    await terminal.sees(/→ src\/main\.ts/);
    terminal.type('\t');
    await terminal.sees(/\nlook at @src\/main\.ts/);
    terminal.type('\x15');
    await terminal.sees((text) => !text.includes('\nlook at'));
    terminal.type(CTRL_R);
    await terminal.sees(/Search what was typed/);
    terminal.type('greet');
    await terminal.sees(/Search what was typed: greet\s*\n {2}greet the capybara/);
    terminal.type(ENTER);
    await terminal.sees((text) => text.includes('\ngreet the capybara\n') && !text.includes('Search what'));
    terminal.type('\x15');
    await terminal.sees((text) => !text.includes('\ngreet the capybara\n'));
    terminal.type('\x1b[200~one\n\ntwo\n\nthree\x1b[201~');
    await terminal.sees(/\none\n\ntwo\n\nthree\n─/);
    terminal.type(ENTER);
    await terminal.sees(/❯ one\n\n {2}two\n\n {2}three\n\nThree lines\.[\s\S]*✓ Done/);
    const history = join(place.home, '.local/state/capybara/history');
    expect(statSync(history).mode & 0o777).toBe(0o600);
    expect(readFileSync(history, 'utf8')).toContain('"one\\n\\ntwo\\n\\nthree"\n');

    terminal.type('from here');
    await terminal.sees(/\nfrom here\n/);
    terminal.type(`\x1b[200~\n${LONG}\x1b[201~`);
    await terminal.sees(/\nfrom here\[paste #1 \+121 lines\]\n─/);
    terminal.type(ENTER);
    await terminal.sees(/ {2}line 119\n\nAll of it\.\n\n✓ Done/);

    terminal.type(`/clear${ENTER}`);
    await terminal.sees(/the model sees nothing of what stands above/);
    terminal.type(`what is left${ENTER}`);
    await terminal.sees(/Nothing is left\.\n\n✓ Done/);
    expect(JSON.stringify(model.requests.at(-1)?.messages)).not.toContain('Three lines.');
    terminal.type(`quit${ENTER}`);
    expect(await terminal.ended).toBe(0);
    expect(terminal.drawn).not.toMatch(COLOURED);
    // The conversation stays on the terminal, and the terminal is as it was.
    expect(terminal.text).toMatch(/Nothing is left\.[\s\S]*\nCome back with: capybara chat ses_/);
  });
});

test('a chat gives the terminal back to the shell and takes it again, and sends the image on the clipboard', async () => {
  const programs = join(repository, '.git/programs');
  mkdirSync(programs);
  const image = join(programs, 'image.png');
  writeFileSync(image, pngOf());
  const shell = `set -m
"$NODE" "$CLI" chat
stty -a | grep -o -e '-\\?icanon'; echo stopped; read -r go; fg; stty -a | grep -o -e '-\\?icanon'; echo over`;
  const terminal = new PseudoTerminal({
    ...{ command: 'bash', args: ['-c', shell], cwd: repository, columns: 80, rows: 24 },
    env: {
      ...place.environment,
      NODE: process.execPath,
      CLI: cliProgram(),
      PATH: `${programs}:${process.env.PATH}`,
    },
  });
  open.push(terminal);
  await terminal.sees(/Say what is to be done/);
  terminal.type(CTRL_V);
  await terminal.sees(/wl-paste \(Wayland\), xclip \(X11\) or\s+pngpaste|The clipboard has no\s+image/);
  writeFileSync(join(programs, 'wl-paste'), `#!/bin/sh\ncat ${image}\n`, { mode: 0o755 });
  terminal.type('look at this ');
  await terminal.sees(/\nlook at this\n/);
  terminal.type(CTRL_Z);
  await terminal.sees((text) => /(?<!-)icanon\nstopped/.test(text) && !text.includes('look at this'));
  terminal.type(ENTER);
  await terminal.sees(/\nlook at this\n─/);
  terminal.type(CTRL_V);
  await terminal.sees(/\nlook at this \[image pasted-1\.png\]\n/);
  terminal.type(ENTER);
  await terminal.sees(
    /❯ look at this \[image pasted-1\.png\]\n.*pasted-1\.png[\s\S]*A picture\.[\s\S]*✓ Done/,
  );
  terminal.type(CTRL_D);
  await terminal.sees(/Come back with: capybara chat[\s\S]*(?<!-)icanon\nover/);
  expect(await terminal.ended).toBe(0);
  expect(terminal.drawn.lastIndexOf('\x1b[?1049l')).toBeGreaterThan(
    terminal.drawn.lastIndexOf('\x1b[?1049h'),
  );
});

test('there is no chat where nothing can be drawn', async () => {
  const plain = await place.run(['chat']);
  expect(plain).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'A chat needs a terminal that can be drawn on: use `capybara run "…"` here, and `capybara run --continue "…"` to go on.\n',
  });
});

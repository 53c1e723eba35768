/** The model of compose.test.ts: it writes a line into a file by a command, which takes as many seconds as the prompt says. */
import { call, type Script, say } from '../support/scripted-model/scripted-model.ts';

const script: Script = ({ messages }) => {
  const asked = messages.findLastIndex(({ role }) => role === 'user');
  const seconds = /^wait (\d+)/.exec(messages[asked]?.text ?? '')?.[1] ?? '0';
  const isDone = messages.slice(asked).some(({ role }) => role === 'tool');
  if (isDone) return say('It is written.');
  return [say('I write it.'), call('bash', { command: `sleep ${seconds}; echo "as $(id -u)" >> lines.txt` })];
};
export default script;

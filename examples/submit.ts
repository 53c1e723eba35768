/**
 * Gives an agent a task, shows its words as they come, and ends with the patch of what it changed.
 *
 *   export CAPYBARA_URL=http://127.0.0.1:7070 CAPYBARA_API_KEY=capy_…       # with the scopes read and submit
 *   node submit.ts "Mend the failing test." https://github.com/acme/app.git
 *
 * Exit code 0 where the task succeeded, 1 where it did not, 2 where it was refused.
 */
import { createClient, ProblemError, type Task } from 'capybara/client';

const [prompt = '', repository] = process.argv.slice(2);
const client = createClient({
  url: process.env.CAPYBARA_URL ?? 'http://127.0.0.1:7070',
  apiKey: process.env.CAPYBARA_API_KEY,
});

async function submit(): Promise<Task> {
  // Who repeats this after a crash, gives the key of the first try, and gets the task that it made.
  return client.createTask(
    {
      prompt,
      mode: 'auto',
      workspace: repository === undefined ? { kind: 'empty' } : { kind: 'git', url: repository },
      limits: { turns: 50 },
    },
    process.env.IDEMPOTENCY_KEY,
  );
}

/** Live words are for showing only: what counts is read from the task when its end was told. */
async function show(task: Task): Promise<void> {
  for await (const frame of client.events(task.sessionId, { signal: new AbortController().signal })) {
    if (frame.kind === 'live' && frame.live.type === 'message.delta') {
      if (frame.live.data.channel === 'text') process.stderr.write(frame.live.data.text);
    }
    if (frame.kind !== 'event' || frame.event.taskId !== task.id) continue;
    if (/^task\.(succeeded|failed|cancelled)$/.test(frame.event.type)) return;
  }
}

try {
  const task = await submit();
  await show(task);
  const { status, result, error } = await client.task(task.id);
  process.stderr.write(`\n${status}: ${result?.text ?? error?.message ?? ''}\n`);
  process.stdout.write(await client.diff(task.sessionId));
  process.exitCode = status === 'succeeded' ? 0 : 1;
} catch (error) {
  if (!(error instanceof ProblemError)) throw error;
  process.stderr.write(`${error.code}${error.field ? ` (${error.field})` : ''}: ${error.detail}\n`);
  process.exitCode = 2;
}

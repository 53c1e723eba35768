import './compile-cache.js';

const { execute } = await import('@oclif/core');
await import('./outputs.js');

// Not awaited: where a reader closes the pipe early (`| head`), oclif waits for ever to write to it.
void execute({ dir: import.meta.url });

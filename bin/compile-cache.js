/**
 * Keeps compiled code, so that the next start is quicker: in the user's own cache directory, because whoever can write
 * there decides what runs. Where it cannot be written, nothing is kept. Imported before anything else.
 */
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

enableCompileCache(join(homedir(), '.cache', 'capybara', 'node'));

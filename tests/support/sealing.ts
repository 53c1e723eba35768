import { Sealing } from '../../src/store/sealing.ts';

/** One of the kind that CAPYBARA_ENCRYPTION_KEY has. */
export const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString('base64');
/** What secrets of tests are sealed with. */
export const sealing = new Sealing([ENCRYPTION_KEY]);

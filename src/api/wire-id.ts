import { z } from 'zod';

/** An id that is answered with: people paste it into commands, so that nothing in one may steer a terminal or a shell. */
export const Id = z.string().regex(/^[A-Za-z0-9][\w-]{0,99}$/, 'expected an id');

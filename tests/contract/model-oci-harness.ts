import type { ModelOptions } from '../../src/model/connection.ts';
import type { ModelRequest } from '../../src/model/model.ts';
import { createOciModel } from '../../src/model/oci.ts';
import { profileAt, serveOci } from '../support/oci-server.ts';
import { collect } from './model-harness.ts';

export type Answer = Parameters<typeof serveOci>[0];

/** One request to a service of its own that answers so. */
export async function ask(
  model: string,
  answer: Answer,
  request?: ModelRequest,
  more: Partial<ModelOptions> = {},
) {
  const server = await serveOci(answer);
  const oci = { ociConfig: await profileAt(), compartment: 'ocid1.compartment.oc1..c' };
  const made = createOciModel({ provider: 'oracle', model, baseUrl: server.url, oci, ...more });
  const events = await collect(made, request);
  return { events, made, server, sent: server.requests[0] };
}

/** Why nothing was fetched, in words for the model. */
export class WebError extends Error {
  override readonly name = 'WebError';
}

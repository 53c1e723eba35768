import { WebError } from './web-error.ts';

export const MAX_URL_LENGTH = 8_192;
const PORTS = [80, 443];

/**
 * The URL that may be fetched, without its fragment. Throws `WebError` where it is none, not http(s), has credentials, or a
 * port that is not the web's and nobody configured. What its host leads to is checked when it is connected to.
 */
export function webUrl(text: string, morePorts: readonly number[]): URL {
  if (text.length > MAX_URL_LENGTH) {
    throw new WebError(`the URL has ${text.length} characters; at most ${MAX_URL_LENGTH} are sent.`);
  }
  const url = URL.parse(text);
  if (url === null) throw new WebError(`'${text}' is no URL; write it whole: https://host/path.`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new WebError(`'${url.protocol}' is not fetched, only http: and https:.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new WebError('the URL holds a user name or a password, which are never sent: leave them out.');
  }
  const port = url.port === '' ? undefined : Number(url.port);
  if (port !== undefined && !PORTS.includes(port) && !morePorts.includes(port)) {
    const known = [...PORTS, ...morePorts].join(', ');
    throw new WebError(`port ${port} is not fetched from, only ${known} (more: CAPYBARA_WEB_FETCH_PORTS).`);
  }
  url.hash = '';
  return url;
}

/** As much of XML as `svn --xml` writes: elements with attributes and text, entities for what is special, no CDATA, no comments. */

type Attributes = Readonly<Record<string, string>>;

export interface Element {
  readonly attributes: Attributes;
  readonly content: string;
}

/** All elements of that name that hold something; none holds another of its name. */
export function elementsOf(xml: string, name: string): readonly Element[] {
  const found = xml.matchAll(new RegExp(`<${name}(\\s[^>]*)?>([^]*?)</${name}>`, 'g'));
  return [...found].map(([, attributes = '', content = '']) => ({
    attributes: readAttributes(attributes),
    content,
  }));
}

/** Of the first element of that name; none where there is no such element. */
export function attributesOf(xml: string, name: string): Attributes {
  const [, attributes = ''] = new RegExp(`<${name}(\\s[^>]*?)?/?>`).exec(xml) ?? [];
  return readAttributes(attributes);
}

/** Of the first element of that name. */
export function textIn(xml: string, name: string): string {
  return decode(elementsOf(xml, name)[0]?.content ?? '');
}

function readAttributes(text: string): Attributes {
  const pairs = [...text.matchAll(/([\w-]+)="([^"]*)"/g)];
  return Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, decode(value)]));
}

const ENTITIES: Attributes = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function decode(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal));
  });
}

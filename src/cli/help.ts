import { Help } from '@oclif/core';

const EXIT_CODES = [
  ['0', 'done'],
  ['1', 'the task failed'],
  ['2', 'bad usage'],
  ['3', 'no server, or no access'],
  ['4', 'a person is needed and none is here; the task waits'],
  ['5', 'a limit was reached'],
  ['130', 'left with Ctrl-C'],
];

/** oclif's help, with the exit codes that scripts rely on. */
export default class CapybaraHelp extends Help {
  override formatRoot(): string {
    const codes = this.section(
      'EXIT CODES',
      this.renderList(EXIT_CODES, { stripAnsi: true, indentation: 2 }),
    );
    return `${super.formatRoot()}\n\n${codes}`;
  }
}

import { CapybaraCommand } from '../../command.ts';

export default class RulesList extends CapybaraCommand {
  static override summary = 'List what people allowed always.';
  static override examples = ['<%= config.bin %> rules list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(RulesList);
    const loaded = await this.settings(flags);
    const { ruleText, toolName } = await import('../../whole-call.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.rules({ limit: 200 });
      const text = page.data
        .map((rule) => {
          const by = toolName(rule.createdBy ?? 'someone who has left');
          return `${rule.id} · ${rule.createdAt} · ${by}\n  ${ruleText(rule, { columns: this.columns })}`;
        })
        .join('\n');
      const more = page.nextCursor === null ? '' : '\nOlder ones are not shown: see --json and the API.\n';
      this.answer(flags, page, text === '' ? 'Nothing is allowed always.\n' : text + more);
    });
  }
}

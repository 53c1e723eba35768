/** Names the conversation of a client with `/mcp`; lower-case, as Node has headers. */
export const SESSION_HEADER = 'mcp-session-id';

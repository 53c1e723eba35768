/** Begins what a model, and whoever watches, is told of MCP servers that are away. */
export const ABOUT_MCP_SERVERS = 'MCP servers:';

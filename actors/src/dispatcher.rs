//! Takes consultations in, decides which may go now, and owns their tasks until each has its one answer. It speaks no MCP, opens
//! no socket and writes nothing itself.

pub mod messages;

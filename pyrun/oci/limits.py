"""How large a document may be. It must not import anything: who asks for a digest alone loads no typed documents."""

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024  # what registries take, too; a manifest is held in memory whole

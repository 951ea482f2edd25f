"""The disk: graphs that stay there, how they are written, imported and drawn, and files that know their checksum."""

"""ImageJ: macro library and commands, Ext functions, a session, installation."""

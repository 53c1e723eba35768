-- Last: every function finds its siblings in its own schema, whatever the connection's search_path (or pooler) says.
DO $$
DECLARE
  v_function regprocedure;
BEGIN
  FOR v_function IN SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', v_function);
  END LOOP;
END $$;

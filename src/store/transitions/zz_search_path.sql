-- Last: a transition finds its siblings in its own schema, whatever the connection's search_path (or pooler) says. What only
-- siblings call runs under the caller's path, and stays free of a setting of its own, which would cost every call and keep
-- Postgres from inlining it.
DO $$
DECLARE
  v_function regprocedure;
BEGIN
  FOR v_function IN
    SELECT p.oid FROM pg_proc p
     WHERE p.pronamespace = current_schema()::regnamespace
       AND NOT EXISTS (SELECT 1 FROM pg_proc q
                        WHERE q.pronamespace = p.pronamespace AND q.oid <> p.oid AND q.prosrc ~ format('\m%s\(', p.proname))
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', v_function);
  END LOOP;
END $$;

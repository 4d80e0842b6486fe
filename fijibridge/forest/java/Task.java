package fijibridge;

/** A thread that calls one static method; Python polls it and so stays open to Ctrl-C. */
public class Task extends java.lang.Thread {
    private java.lang.reflect.Method method;
    private Object[] arguments;
    public Object result;
    public Throwable failure;

    public Task(java.lang.reflect.Method method, Object[] arguments, long stack) {
        super((ThreadGroup) null, (Runnable) null, "fijibridge", stack);
        this.method = method;
        this.arguments = arguments;
        setDaemon(true);
    }

    public void run() {
        try {
            this.result = this.method.invoke(null, this.arguments);
        } catch (java.lang.reflect.InvocationTargetException e) {
            this.failure = e.getCause();
        } catch (Throwable e) {
            this.failure = e;
        }
    }
}

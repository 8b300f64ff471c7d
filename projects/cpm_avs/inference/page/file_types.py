"""Videos whose type the visitor's browser does not know, so that Gradio takes them, too.

Gradio looks at the type that the browser states. Browsers know few kinds of video by themselves and
ask the system for the rest: a phone's .MOV or an .mkv has no type on many. What a file really is,
its decoder says on the server.
"""

#: To be run once in the browser. Files come by the field's button or are dropped on it.
STATE_TYPES = r"""() => {
    const suffix = /\.(3gp|asf|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|vob|webm|wmv)$/i;
    const untyped = files => files.length > 0 &&
        [...files].every(file => suffix.test(file.name) && !file.type.startsWith('video/'));
    const typed = files => {
        const given = new DataTransfer();
        for (const file of files) given.items.add(new File([file], file.name, {type: 'video/mp4'}));
        return given.files;
    };
    document.addEventListener('change', event => {
        const field = event.target;
        if (field.type === 'file' && untyped(field.files)) field.files = typed(field.files);
    }, true);
    document.addEventListener('drop', event => {
        const field = document.querySelector('#clip input[type=file]');
        if (!field || !field.closest('#clip').contains(event.target)) return;
        if (!untyped(event.dataTransfer.files)) return;
        event.preventDefault();
        event.stopPropagation();
        field.files = typed(event.dataTransfer.files);
        field.dispatchEvent(new Event('change', {bubbles: true}));
    }, true);
}"""
